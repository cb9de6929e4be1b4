"""Pictures a second that libjpeg-turbo decodes: libjpeg.py FOLDER PROCESSES. Prints one number. Needs Pillow."""
import io
import multiprocessing
import pathlib
import sys
import time

from PIL import Image, features

ROUNDS = 5


def decode(pictures):
    for data in pictures:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.format != "JPEG":
                sys.exit("not a JPEG")
            picture.load()


def main():
    if not features.check_feature("libjpeg_turbo"):
        sys.exit("this Pillow is built without libjpeg-turbo")
    pictures = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).iterdir())]
    processes = int(sys.argv[2])
    shares = [pictures[n::processes] for n in range(processes)]
    with multiprocessing.Pool(processes) as pool:
        pool.map(decode, shares)
        best = min(timed(pool, shares) for _ in range(ROUNDS))
    print(len(pictures) / best)


def timed(pool, shares):
    began = time.perf_counter()
    pool.map(decode, shares, chunksize=1)
    return time.perf_counter() - began


main()
