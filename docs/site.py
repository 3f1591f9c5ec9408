"""MkDocs hook: include files outside of docs/ in the site, and keep the site free of network requests.

In the repository a link leads from docs/ to ``../benchmarks/families.md``; on the site both lie below one
folder. What is linked to and does not exist stays a broken link, which stops the build.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "benchmarks/*.md", "data/README.md", "data/pretrained/README.md")
FILES = (
    "*.yaml",
    "benchmarks/*.yaml",
    "workflow/presets/*.yaml",
    "data/pretrained/LICENSE",
    "profiles/*/*.yaml",
    "envs/constraints.txt",
    "CITATION.cff",
    "LICENSE",
)
ELSEWHERE = ("README.md",)  # the front page of the repository; index.md is the site's
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
LOADED = re.compile(r'<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add files outside of docs/ under their path in the repository."""
    for pattern in PAGES + FILES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            if name not in ELSEWHERE:
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(here)
    inside = (Path(config.docs_dir) / here).is_file()
    in_repository = posixpath.join("docs", folder) if inside else folder

    def on_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(in_repository, link[1]))
        return posixpath.relpath(path.removeprefix("docs/"), folder or ".")

    return LINK.sub(on_site, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Raise an error for a page that would load something from the network."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri}: the site must need no network, but it has {found[0]}")
    return output
