"""Pictures made by code: smooth shapes and noise, as compressible as photographs."""
import io
import random
import zipfile

from PIL import Image, ImageDraw, ImageFilter


def photograph(seed, side=500, colour=None):
    """A JPEG of side × side pixels."""
    random.seed(seed)
    picture = Image.effect_noise((side, side), 60).convert("RGB")
    paint = ImageDraw.Draw(picture, "RGBA")
    for _ in range(12):
        x, y, size = (random.randrange(side) for _ in range(3))
        fill = colour or tuple(random.randrange(256) for _ in range(3))
        paint.ellipse((x, y, x + size, y + size), fill=(*fill, 150))
    file = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(1)).save(file, "JPEG", quality=90)
    return file.getvalue()


def archive(classes, each):
    """A zip of Class/picture."""
    colours = [(200, 60, 40), (40, 160, 70), (50, 80, 210), (210, 190, 50)]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for number in range(classes):
            for seed in range(each):
                zipped.writestr(f"class{number}/{seed}.jpg", photograph(1000 * number + seed, 200, colours[number % 4]))
    return file.getvalue()
