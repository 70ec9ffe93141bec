"""The command line. `hearth` alone is the launcher: it opens the page of the running server, or of one it starts."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path

from webapp import __version__, paths
from webapp.people.tickets import Tickets
from webapp.program import menu_bar, status
from webapp.program.instance import STARTING_SECONDS, Instance, Running
from webapp.program.launcher import CannotLaunch, launch, tell
from webapp.settings.table import option_name, table
from webapp.sizes import size

STOP_PATIENCE_SECONDS = 20.0
OFF = ("", "0", "false", "no", "off")


def main(arguments: Seq[str] | None = None) -> int:
    """Run a command line and return the exit status of the process."""
    multiprocessing.freeze_support()
    give_back_library_path()
    args = parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except paths.CannotUse as problem:
        tell(str(problem), browser=args.run is open_hearth and not is_on("HEARTH_NO_BROWSER"))
        return 2 if args.run is serve_here else 1  # 2: a service manager must not try again


def give_back_library_path() -> None:
    """Restore LD_LIBRARY_PATH, which the packaged program sets: programs it starts must not load its libraries."""
    if paths.PACKAGED and sys.platform == "linux":
        before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
        os.environ.pop("LD_LIBRARY_PATH", None)
        if before:
            os.environ["LD_LIBRARY_PATH"] = before


def parser() -> argparse.ArgumentParser:
    """Every option has an environment twin: --data-dir is HEARTH_DATA_DIR."""
    top = argparse.ArgumentParser(prog="hearth", description="A local LLM server and its chat, on one port.")
    add_folders(top)
    top.set_defaults(run=open_hearth, strict_port=False)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server in this terminal")
    serve.add_argument("--strict-port", action="store_true", help="exit with status 98 when the port is taken")
    serve.add_argument("--no-browser", action="store_true", help="do not open the browser")
    serve.add_argument("--detached", action="store_true", help="once ready, write to the log file only")
    add_folders(serve)
    add_settings(serve)
    serve.set_defaults(run=serve_here)

    add_key_commands(commands.add_parser("key", help="make, list and revoke API keys"))
    for name, run, text, options in (
        ("stop", stop, "stop the running server; answers get ten seconds to finish", (add_data_dir,)),
        ("status", show_status, "what the running server does", (add_data_dir, add_json)),
        ("sign-in", sign_in, "print a link that signs a browser in, once", (add_data_dir,)),
        ("selftest", run_selftest, "try everything that an answer needs", (add_folders, add_json)),
        ("menu-bar", show_in_menu_bar, "show Hearth in the menu bar of macOS", (add_data_dir,)),
        ("list", list_models, "the installed models", (add_models_dir, add_json)),
        ("version", version, "print the version", (add_json,)),
        ("bench", run_bench, "measure a running server", (add_data_dir, add_bench_options)),
    ):
        command = commands.add_parser(name, help=text)
        for add in options:
            add(command)
        command.set_defaults(run=run)
    service = commands.add_parser("service", help="start Hearth at login, or no longer")
    service.add_argument("action", choices=("install", "uninstall"))
    add_folders(service)
    service.set_defaults(run=run_service)
    return top


def add_key_commands(key: argparse.ArgumentParser) -> None:
    """Commands that work on the database, with or without a server; a running one notices within a second."""
    commands = key.add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="make a key, and print its secret once")
    create.add_argument("name")
    create.add_argument("--scope", default="inference", help="inference (the default) or admin")
    create.add_argument("--expires", metavar="WHEN", help="a date, a time, or a number of seconds from now (never)")
    create.add_argument("--models", default="", help="the only models it may use, with commas between them (all)")
    listing = commands.add_parser("list", help="the keys and when each was used last")
    revoke = commands.add_parser("revoke", help="let nobody in with it any more")
    revoke.add_argument("name")
    for command, act in ((create, "create"), (listing, "show"), (revoke, "revoke")):
        add_data_dir(command)
        add_json(command)
        command.set_defaults(run=on_keys, act=act)


def add_folders(command: argparse.ArgumentParser) -> None:
    add_data_dir(command)
    add_models_dir(command)


def add_settings(command: argparse.ArgumentParser) -> None:
    """One option per setting, for this run alone; the table of settings checks the value."""
    settings = command.add_argument_group("settings", "for this run; saved ones are changed on the Settings page")
    for name, field in table().items():
        shown = field.unset or ("none" if field.default == () else field.default)
        settings.add_argument(
            option_name(name), metavar=field.type.upper(), help=f"{field.help} ({shown})".replace("%", "%%")
        )


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """Adds --data-dir without a default, as the command's default would undo the option before the command."""
    command.add_argument("--data-dir", type=Path, default=argparse.SUPPRESS, help="where Hearth keeps its files")


def add_models_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--models-dir", type=Path, action="append", default=argparse.SUPPRESS, help="a folder of models; repeatable"
    )


def add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for programs")


def add_bench_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", help="the model to ask (the server's first)")
    command.add_argument("--concurrency", default="1,4,16", help="numbers of clients, as in 1,4,16")
    command.add_argument("--prompt", default="short", choices=("short", "long", "shared", "multi", "mixed"))
    command.add_argument("--max-tokens", type=int, default=64)
    command.add_argument("--key", help="an API key (better in HEARTH_API_KEY, where others cannot see it)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")


def data_dir(args: argparse.Namespace) -> paths.DataDir:
    chosen = getattr(args, "data_dir", None) or os.environ.get("HEARTH_DATA_DIR")
    return paths.DataDir.at(Path(chosen) if chosen else None)


def models_dirs(args: argparse.Namespace) -> tuple[Path, ...]:
    named = getattr(args, "models_dir", None)
    if named is None:
        named = [Path(part) for part in os.environ.get("HEARTH_MODELS_DIR", "").split(":") if part]
    return tuple(path.expanduser().resolve() for path in named)


def find_running(args: argparse.Namespace) -> Running | None:
    instance = Instance(data_dir(args).run)
    running = instance.running(STARTING_SECONDS)
    if running is None:
        print(f"Hearth {'does not answer yet' if instance.held() else 'is not running'}.", file=sys.stderr)
    return running


def open_hearth(args: argparse.Namespace) -> int:
    browser = not is_on("HEARTH_NO_BROWSER")
    try:
        url = launch(data_dir(args), folder_options(args), browser=browser)
    except CannotLaunch as problem:
        tell(str(problem), browser=browser)
        return 1
    print(f"Hearth is at {url}")
    if browser and menu_bar.is_possible():
        menu_bar.start(data_dir(args))
    return 0


def show_in_menu_bar(args: argparse.Namespace) -> int:
    return menu_bar.show(data_dir(args))


def folder_options(args: argparse.Namespace) -> list[str]:
    """The folders as options, with absolute paths, for another process of this program."""
    named = getattr(args, "data_dir", None)
    options = ["--data-dir", str(named.expanduser().resolve())] if named else []
    return options + [part for folder in models_dirs(args) for part in ("--models-dir", str(folder))]


def serve_here(args: argparse.Namespace) -> int:
    from webapp.program.serving import listen, serve

    overrides = {name: getattr(args, name) for name in table() if getattr(args, name, None) is not None}
    return serve(
        data_dir(args),
        models_dirs(args),
        overrides,
        strict_port=args.strict_port or is_on("HEARTH_STRICT_PORT"),
        browser=not (args.no_browser or is_on("HEARTH_NO_BROWSER")),
        detached=args.detached,
        bind=listen,
    )


def is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in OFF


def stop(args: argparse.Namespace) -> int:
    instance = Instance(data_dir(args).run)
    if not instance.held():
        print("Hearth is not running.")
        return 0
    if instance.stop(STOP_PATIENCE_SECONDS):
        print("Hearth has stopped.")
        return 0
    print("Hearth has not stopped yet.", file=sys.stderr)
    return 1


def show_status(args: argparse.Namespace) -> int:
    running = find_running(args)
    return 1 if running is None else status.show(running, Tickets(data_dir(args).run), as_json=args.json)


def sign_in(args: argparse.Namespace) -> int:
    running = find_running(args)
    if running is None:
        return 1
    print(Tickets(data_dir(args).run).link(running.url))
    return 0


def run_selftest(args: argparse.Namespace) -> int:
    from webapp.program import selftest
    from webapp.program.serving import leave

    leave(selftest.tell(selftest.outcomes_of(data_dir(args)), as_json=args.json))


def run_service(args: argparse.Namespace) -> int:
    from webapp.program.login_start import install, uninstall

    if args.action == "uninstall":
        return uninstall()
    return install(
        [*paths.this_program(), "serve", "--no-browser", "--detached", *folder_options(args)], data_dir(args).logs
    )


def list_models(args: argparse.Namespace) -> int:
    from webapp.catalog.installed import Catalog

    models = Catalog(paths.BUNDLED_MODELS, models_dirs(args)).models()
    if args.json:
        rows = [{"id": m.id, "path": str(m.path), "size_bytes": m.weights_bytes, "bundled": m.bundled} for m in models]
        print(json.dumps({"models": rows}))
        return 0
    for model in models:
        print(f"{model.id:48} {size(model.weights_bytes):>11}  {'bundled' if model.bundled else model.path}")
    return 0


def on_keys(args: argparse.Namespace) -> int:
    from webapp.program import keyring

    act: Callable[[paths.DataDir, argparse.Namespace], int] = getattr(keyring, args.act)
    return act(data_dir(args), args)


def version(args: argparse.Namespace) -> int:
    print(json.dumps({"version": __version__}) if args.json else f"hearth {__version__}")
    return 0


def run_bench(args: argparse.Namespace) -> int:
    from webapp.program.bench.bench import run

    running = find_running(args)
    if running is None:
        return 1
    return run(running, args)
