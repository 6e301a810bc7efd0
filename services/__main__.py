"""``python -m services`` is the command ``liandiao``."""

from services.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="liandiao")


if __name__ == "__main__":
    main()
