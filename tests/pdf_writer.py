"""Writes small PDFs for the tests: text in Helvetica, an outline, a password, pages without text."""
import hashlib

PASSWORD_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def rc4(key, data):
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def escaped(text):
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252", "replace")


def content(lines):
    """Lines from the top; (size, text) or text of 11 points."""
    out, y = [b"BT"], 740
    for line in lines:
        size, text = line if isinstance(line, tuple) else (11, line)
        out.append(b"/F1 %d Tf 1 0 0 1 72 %d Tm (%s) Tj" % (size, y, escaped(text)))
        y -= size * 1.4 if text else size * 2.4
        y = int(y)
    return b"\n".join([*out, b"ET"])


def jpeg_size(data):
    """Width, height, colours."""
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return int.from_bytes(data[at + 7:at + 9], "big"), int.from_bytes(data[at + 5:at + 7], "big"), data[at + 9]


def pdf(pages, title=None, author=None, outline=(), password=None):
    """The bytes of a PDF. pages: lists of lines (see content()), or a JPEG of the whole page; outline: (title, page from 1)."""
    objects = []

    def add(body):
        objects.append(body)
        return len(objects)

    catalog, tree, font = add(None), add(None), add(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    kids = []
    for lines in pages:
        picture = None
        if isinstance(lines, bytes):
            width, height, parts = jpeg_size(lines)
            picture = add(b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/%s/BitsPerComponent 8/Filter/DCTDecode"
                          b"/Length %d>>\nstream\n%s\nendstream"
                          % (width, height, b"DeviceGray" if parts == 1 else b"DeviceRGB", len(lines), lines))
        stream = b"612 0 0 792 0 0 cm /Im Do" if picture else content(lines) if lines else b""
        body = add(b"<</Length %d>>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(add(b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 %d 0 R>>%s>>>>"
                        % (tree, body, font, b"/XObject<</Im %d 0 R>>" % picture if picture else b"")))
    objects[tree - 1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids))
    extra = b""
    if outline:
        root = add(None)
        items = [add(None) for _ in outline]
        for n, (name, page) in enumerate(outline):
            near = (b"/Prev %d 0 R" % items[n - 1] if n else b"") + (b"/Next %d 0 R" % items[n + 1] if n + 1 < len(items) else b"")
            objects[items[n] - 1] = b"<</Title(%s)/Parent %d 0 R/Dest[%d 0 R/Fit]%s>>" % (escaped(name), root, kids[page - 1], near)
        objects[root - 1] = b"<</Type/Outlines/First %d 0 R/Last %d 0 R/Count %d>>" % (items[0], items[-1], len(items))
        extra = b"/Outlines %d 0 R" % root
    objects[catalog - 1] = b"<</Type/Catalog/Pages %d 0 R%s>>" % (tree, extra)
    info = add(b"<<%s%s>>" % (b"/Title(%s)" % escaped(title) if title else b"", b"/Author(%s)" % escaped(author) if author else b""))

    trailer = b"/Root %d 0 R/Info %d 0 R" % (catalog, info)
    if password:
        padded, name = (password.encode() + PASSWORD_PAD)[:32], b"0123456789abcdef"
        owner = rc4(hashlib.md5(padded).digest()[:5], padded)
        key = hashlib.md5(padded + owner + (0xFFFFFFFC).to_bytes(4, "little") + name).digest()[:5]
        lock = add(b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>" % (owner.hex().encode(), rc4(key, PASSWORD_PAD).hex().encode()))
        trailer += b"/Encrypt %d 0 R/ID[<%s><%s>]" % (lock, name.hex().encode(), name.hex().encode())

    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)
