"""`arena sandbox`: the images that sandboxes are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arena.cli._console import notice, say
from arena.core.errors import UsageError

SUMMARY = "Make the images of Docker sandboxes."
EXAMPLES = (
    "arena sandbox image build",
    "arena sandbox image build --with python3-pytest",
    "arena sandbox image build ./my-task --tag my-task:1",
    "arena sandbox image build root.tar --tag my-root:1",
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help=SUMMARY)
image = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help=SUMMARY)
app.add_typer(image, name="image", short_help=SUMMARY)


@image.command("build", epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES))
def build(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="SOURCE", help="A folder with a Dockerfile, or the .tar of a root file system."),
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", "-t", metavar="NAME", help="What the image is called.")] = None,
    packages: Annotated[
        list[str] | None, typer.Option("--with", metavar="PACKAGE", help="One more package in the base image; repeat.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(metavar="NAME", help="What RUN lines may reach; `none` for nothing.")
    ] = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="Let the engine fetch images that a Dockerfile starts from.")
    ] = False,
) -> int:
    """Make an image for Docker sandboxes; no registry is asked, save with --pull.

    Without SOURCE it is the base image: the distribution's own packages, unpacked (a shell, the usual tools, git,
    Python), kept in Arena's cache by the hash of their list. The last line names the image.
    """
    from arena.sandboxes import images

    if source is None:
        if tag or network or pull:
            raise UsageError(
                "The base image has a name of its own and runs nothing: --tag, --network and --pull need a SOURCE."
            )
        say(images.build_base(packages or (), say=notice))
    elif packages:
        raise UsageError("--with is for the base image: a Dockerfile or an archive says itself what is in it.")
    elif tag is None:
        raise UsageError(f"What shall the image be called? For example: --tag {source.resolve().stem.lower()}:1")
    elif source.is_dir():
        say(images.build(source, tag, network=network, say=notice, pull=pull))
    else:
        say(images.import_archive(source, tag))
    return 0
