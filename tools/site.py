"""Hooks for mkdocs: they add the pages at the root of the repository to the site, and adapt the links."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
SHARED = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "config.example.toml")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the shared files, at the root of the site."""
    for name in SHARED:
        if (ROOT / name).exists():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Remove the folder docs/ from links to shared files; links to the README lead to the site's first page."""
    for name in SHARED:
        markdown = re.sub(rf"\]\(\.\./((?:\.\./)*){re.escape(name)}", rf"](\1{name}", markdown)
    markdown = re.sub(r"\[([^\]]+)\]\((?:\.\./)+README\.md\)", r"\1", markdown)
    return markdown.replace("](docs/", "](")
