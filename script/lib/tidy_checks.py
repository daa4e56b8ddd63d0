"""Checks of style that neither the compiler nor clang makes; run by script/tidy, and --links by script/test.

Each check is a function that takes a path (relative to the repository) and the file's text, and yields
(line, message). Prints "path:line: message" and returns 1 when there is anything to print.
"""
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPP = {".cpp", ".hpp", ".h", ".cc"}
FILE_LINES_MAX = 600
# Example notes that are broken on purpose, and texts that come from elsewhere.
NOT_OURS = re.compile(r"^(tests/.*(fixtures|vaults?|data)/|third_party/)")


def includes(path, text):
    """An include may not climb out of its room: `#include "../` hides a dependency from CMake."""
    if path.suffix in CPP:
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(r'\s*#\s*include\s+"(\.\./|.*/\.\./)', line):
                yield number, "include by ../: name the room as a dependency and include its public header"


def length(path, text):
    """Files stay small; generated tables are excepted."""
    lines = text.count("\n")
    if path.parts[0] in ("src", "script", "web", "plugin") and lines > FILE_LINES_MAX:
        if path.suffix in CPP | {".py", ".sh", ".ts", ".js"} and "Generated" not in text[:300]:
            yield FILE_LINES_MAX, f"{lines} lines, at most {FILE_LINES_MAX}: split by responsibility"


def todos(path, text):
    """A TODO without an issue is forgotten."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"(//+|#|<!--|\*)\s(.*\s)?(TODO|FIXME|XXX)\b(?!\(#\d+\))", line) and path.suffix != ".md":
            yield number, "write TODO(#123): what, with the number of its issue"


def commented_out_code(path, text):
    """Git keeps old code; two neighbouring comment lines that end like statements are taken for it."""
    if path.suffix not in CPP:
        return
    previous = False
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.match(r"\s*//(?!/|!)\s*(.*)$", line)
        code = bool(comment and re.search(r"(\)|\w|\"|\]);$|^\}|\)\s*\{$|^(if|for|while) \(|^#include", comment[1]))
        if code and previous:
            yield number, "commented-out code: delete it"
        previous = code


def hosts(path, text):
    """Packages come by name through their clients; which registry these ask is the user's own setting."""
    registry = r"\b(registry|files|static|index|deb|mirror)\.[a-z0-9-]+\.(com|io|net|org)\b"
    package_site = r"\b(pypi|npmjs|crates|pythonhosted)\.(com|io|org)\b"
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(f"{registry}|{package_site}", line):
            yield number, "names a registry's host: name the package and its version instead"


def heading_anchor(heading):
    """The anchor that GitHub gives to a heading."""
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def prose(text):
    """The lines outside fenced code, comments and front matter, inline code taken out."""
    fence = None
    text = re.sub(r"<!--.*?-->|%%.*?%%", lambda match: "\n" * match[0].count("\n"), text, flags=re.S)
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(?:>\s*)*(`{3,}|~{3,})", line)
        if mark and (fence is None or mark[1].startswith(fence)):
            fence = mark[1] if fence is None else None
        elif fence is None:
            yield number, re.sub(r"(`+).+?\1", "", line)


def headings(text):
    """The headings of a Markdown text, as written."""
    for _, line in ((n, raw) for n, raw in enumerate(text.splitlines(), 1)):
        match = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if match:
            yield match[1]


def markdown_links(path, text):
    """Relative links in Markdown lead to files, and anchors to headings, that exist."""
    if path.suffix != ".md":
        return
    for number, line in prose(text):
        for match in re.finditer(r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)", line):
            if re.match(r"[a-z][a-z0-9+.-]*:|//", match[1]):
                continue
            target, _, anchor = urllib.parse.unquote(match[1]).partition("#")
            file = (ROOT / path.parent / target) if target else ROOT / path
            if not file.exists():
                yield number, f"dead link: {match[1]}"
            elif anchor and file.suffix == ".md":
                found = [heading for heading in headings(file.read_text("utf-8"))]
                if anchor not in found and anchor.lower() not in map(heading_anchor, found):
                    yield number, f"no heading for the link {match[1]}"


def wikilinks(path, text):
    """Wikilinks in the manual, which is itself a vault, lead to notes, headings and blocks of it."""
    if path.suffix != ".md" or path.parts[0] != "docs":
        return
    vault = ROOT / "docs"
    for number, line in prose(text):
        for match in re.finditer(r"\[\[([^\]|#^]*)(?:#\^?([^\]|]*))?(?:\\?\|[^\]]*)?\]\]", line):
            name, part = match[1].strip().rstrip("\\"), match[2]
            wanted = name.lower().removesuffix(".md")
            notes = [ROOT / path] if not name else [
                file for file in vault.rglob("*") if file.is_file() and not any(p.startswith(".") for p in file.parts[len(vault.parts):])
                and wanted in (file.relative_to(vault).as_posix().lower().removesuffix(".md"), file.name.lower().removesuffix(".md"))]
            if not notes and not has_alias(vault, wanted):
                yield number, f"dead link: {match[0]}"
            elif part and notes and notes[0].suffix == ".md":
                body = notes[0].read_text("utf-8")
                last = part.split("#")[-1].strip()
                known = {heading.lower() for heading in headings(body)}
                if last.lower() not in known and not re.search(rf"\^{re.escape(last)}\s*$", body, re.M):
                    yield number, f"no heading or block for the link {match[0]}"


def has_alias(vault, wanted):
    """Whether a note names itself so in its front matter."""
    for file in vault.rglob("*.md"):
        front = re.match(r"---\n(.*?)\n---", file.read_text("utf-8"), re.S)
        if front and re.search(rf"^\s*(aliases:.*|-\s*)\b{re.escape(wanted)}\b", front[1], re.M | re.I):
            return True
    return False


LINK_CHECKS = [markdown_links, wikilinks]
ALL_CHECKS = [includes, length, todos, commented_out_code, hosts, *LINK_CHECKS]


def files():
    """What git tracks or would track."""
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           check=True, capture_output=True).stdout.decode().split("\0")
    for name in sorted(set(filter(None, names))):
        if not NOT_OURS.match(name) and (ROOT / name).is_file():
            yield pathlib.Path(name)


def main(arguments):
    checks = LINK_CHECKS if arguments == ["--links"] else ALL_CHECKS
    count = 0
    for path in files():
        try:
            text = (ROOT / path).read_text("utf-8")
        except UnicodeDecodeError:
            continue  # an image or another binary file
        for check in checks:
            for line, message in check(path, text):
                print(f"{path}:{line}: {message}")
                count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
