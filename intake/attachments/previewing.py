"""The child that opens pictures and PDFs: out come new pictures, drawn from pixels alone.

A preview and, of a picture, a full-size copy without metadata. Nothing of the original's bytes is
carried over: no EXIF, no place, no script, no link, no embedded file.
"""

import io
import struct
from typing import Any, Final

from PIL import Image, ImageOps, UnidentifiedImageError

from services.confined import serve

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF")


class TooManyPixels(Exception):
    """The picture would unpack to more than the limit."""


def make(request: dict[str, Any], data: bytes) -> bytes:
    """Preview and copy, each with its length (4 bytes) before it; the copy may be empty."""
    if request["kind"] == "pdf":
        preview, copy = _pdf(data, request), b""
    else:
        preview, copy = _image(data, request)
    return struct.pack(">II", len(preview), len(copy)) + preview + copy


def _image(data: bytes, request: dict[str, Any]) -> tuple[bytes, bytes]:
    Image.MAX_IMAGE_PIXELS = None  # judged below, by the size that the header tells
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
        if opened.width * opened.height > request["pixels"]:
            raise TooManyPixels
        upright = ImageOps.exif_transpose(opened)
        plain = upright.convert("RGBA" if "A" in upright.getbands() else "RGB")
    pixels = Image.new(plain.mode, plain.size)
    pixels.paste(plain)
    copy = _encoded(pixels)
    pixels.thumbnail((request["side"], request["side"]))
    return _encoded(pixels), copy


def _encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    if image.mode == "RGB":
        image.save(out, "JPEG", quality=90)
    else:
        image.save(out, "PNG")
    return out.getvalue()


def _pdf(data: bytes, request: dict[str, Any]) -> bytes:
    import pypdfium2

    document = pypdfium2.PdfDocument(data)
    page = document[0]
    width, height = page.get_size()
    scale = request["side"] / max(width, height, 1)
    if width * height * scale * scale > request["pixels"]:
        raise TooManyPixels
    bitmap = page.render(scale=scale, may_draw_forms=False)
    return _encoded(bitmap.to_pil().convert("RGB"))


def _refusals() -> tuple[type[Exception], ...]:
    import pypdfium2

    return (TooManyPixels, UnidentifiedImageError, pypdfium2.PdfiumError, OSError, ValueError,
            SyntaxError, IndexError, struct.error)  # fmt: skip


if __name__ == "__main__":
    serve(make, *_refusals())
