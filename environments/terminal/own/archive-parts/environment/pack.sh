python3 - <<'END'
import gzip
import io
import pathlib
import tarfile
import zipfile

texts = {f"part-{number:02d}.txt": f"line {number} of the message\n".encode() for number in range(1, 12)}
texts["notes.txt"] = b"not a part\n"


def tar(files, mode):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def zipped(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return made.getvalue()


def some(*numbers):
    return {f"part-{number:02d}.txt": texts[f"part-{number:02d}.txt"] for number in numbers}


inner = tar({**some(2, 9), "deep.zip": zipped(some(11, 4))}, "w:gz")
packed = {
    "one.tar": tar({**some(1), "notes.txt": texts["notes.txt"], "x/inner.tar.gz": inner}, "w"),
    "two.zip": zipped({**some(3), "more/inner.tgz": tar(some(5, 10), "w:gz")}),
    "part-06.txt.gz": gzip.compress(texts["part-06.txt"], mtime=0),
    "three.tgz": tar({"part-07.txt.gz": gzip.compress(texts["part-07.txt"], mtime=0)}, "w:gz"),
    "part-08.txt": texts["part-08.txt"],
}
folder = pathlib.Path("parts")
folder.mkdir()
for name, data in packed.items():
    (folder / name).write_bytes(data)
END
