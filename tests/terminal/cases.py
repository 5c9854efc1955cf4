"""A command line for every command and subcommand, with enough work for its progress bar."""

from dataclasses import dataclass

from imgctl.cli.cost import PARTS
from imgctl.cli.main import COMMANDS
from tests.terminal.conftest import IMAGE
from tests.whole.deployment import USER

OWNER = str(USER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A command line, the stage of the archive that it needs, and the unit of its progress bar, if it has one."""

    line: tuple[str, ...]
    stage: str = "ready"
    unit: str = ""

    def __str__(self) -> str:
        return " ".join(self.line[:2])


CASES = (
    Case(line=("init",), stage="fresh"),
    Case(line=("doctor",)),
    Case(line=("upload", "photos", "--user", OWNER), stage="fresh", unit="file"),
    Case(line=("upload", "photos", "--user", OWNER, "--dry-run"), stage="uploaded", unit="file"),
    Case(line=("upload", "photos"), stage="fresh"),
    Case(line=("verify", "photos", "--user", OWNER), unit="file"),
    Case(line=("insert", "manifest.csv", "--yes", "--user", OWNER), stage="fresh"),
    Case(line=("insert", "manifest.csv", "--yes"), stage="fresh", unit="blob"),
    Case(line=("work", "--drain"), stage="uploaded", unit="image"),
    Case(line=("backfill", "--force"), unit="row"),
    Case(line=("backfill", "--dry-run"), unit="row"),
    Case(line=("transition", "--to", "GLACIER", "--user", OWNER, "--min-size", "0", "--yes"), unit="original"),
    Case(line=("restore", "--since", "2000-01-01", "--permanent", "--yes"), stage="cold", unit="original"),
    Case(line=("restore", "--since", "2000-01-01", "--status"), stage="cold", unit="original"),
    Case(line=("audit", "--grace", "0s", "--deep"), stage="damaged", unit="image"),
    Case(line=("repair", "--grace", "0s", "--apply"), stage="damaged", unit="finding"),
    Case(line=("find", "--limit", "5")),
    Case(line=("find", "--json")),
    Case(line=("show", IMAGE)),
    Case(line=("url", IMAGE, "--original")),
    Case(line=("get", IMAGE, "--out", "got")),
    Case(line=("export", "--user", OWNER, "--out", "bag.zip"), unit="file"),
    Case(line=("stats", "--by", "user")),
    Case(line=("history", "--limit", "5")),
    Case(line=("top", "--once")),
    Case(line=("cost", "model")),
    Case(line=("cost", "actual")),
    Case(line=("cost", "what-if", "--drop-variant", "full")),
    Case(line=("cost", "lab", "--out", "lab.html")),
    Case(line=("cost", "cards")),
    Case(line=("apply", "plan.jsonl", "--yes"), stage="planned", unit="action"),
    Case(line=("serve", "--make-token", "phone")),
    Case(line=("completion", "bash")),
    Case(line=("erase", "--user", OWNER)),
    Case(line=("hold", "--user", OWNER, "--reason", "case 4711")),
    Case(line=("release", "--user", OWNER)),
    Case(line=("help", "exit-codes")),
)
# A new command needs a case here.
TYPED = {case.line[0] for case in CASES} | {" ".join(case.line[:2]) for case in CASES if case.line[0] == "cost"}
TYPED |= {"demo", "listen", "watch"}  # test_demo.py; two that do not end: test_listen.py and test_watch.py
EXISTING = set(COMMANDS) | {f"cost {part}" for part in PARTS}
