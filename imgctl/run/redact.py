"""Credentials out of any text before it is written down."""

import re

MASK = "[redacted]"

# What may stand between a name and its value: `=`, `: `, `': '`, `": b"`, `%3D`.
_IS = r"""\\?["']?\s*(?:=>?|:|%3D)\s*b?\\?["']?"""
_VALUE = r"""[^\s"'&,;<>)}\]\\]+"""

_NAMES = (
    "aws_?access_?key_?id",
    "secret_?access_?key",
    "session_?token",
    "security_?token",
    "x-amz-(?:security-token|signature|credential)",
    "password",
    "passwd",
    "signature",
)

_RULES = (
    # To the end of the quoted string, else of the line: its parts are separated by spaces and commas.
    (
        re.compile(r"""(authorization\\?["']?\s*[:=]\s*)(?:b?"[^"\n]*"?|b?'[^'\n]*'?|[^\r\n]*)""", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(rf"((?:{'|'.join(_NAMES)}){_IS}){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    # Greedy: a password may itself hold an @ or a slash, and too much hidden is better than a character shown.
    (re.compile(r"""(://[^\s:/@"']*:)[^\s"'<>]*@"""), rf"\1{MASK}@"),
    (re.compile(r"(?:AKIA|ASIA)[0-9A-Z]{12,}"), MASK),
)


def redact(text: str) -> str:
    """The text without AWS keys and tokens, presigned queries, passwords in URLs and Authorization headers."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
