"""``python -m services`` is the command ``liandiao``."""

from services.cli import app

if __name__ == "__main__":
    app(prog_name="liandiao")
