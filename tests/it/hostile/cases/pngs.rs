//! PNGs.

use super::Seen::{Pixel, Rejected, Size};
use super::png::{GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, content, end, header, png, square};
use super::{Picture, picture, small, zlib};

pub fn cases() -> Vec<Picture> {
    [claims(), kinds(), chunks(), polyglots()].into_iter().flatten().collect()
}

fn grey(width: u32, height: u32, rows: &[u8]) -> Vec<u8> {
    png(&[header(width, height, 8, GREY, false), content(rows), end()])
}

/// Sizes that lie, and sizes at the edge.
fn claims() -> Vec<Picture> {
    let tall: Vec<u8> = [0, 9].repeat(30_000);
    let wide = [vec![0], vec![9; 30_000]].concat();
    vec![
        picture("png-claims-60000", grey(60_000, 60_000, &[0, 9]), Rejected("60000 × 60000 pixels")),
        picture("png-claims-the-most", grey(0x7fff_ffff, 0x7fff_ffff, &[0, 9]), Rejected("memory")),
        picture("png-claims-negative", grey(u32::MAX, u32::MAX, &[0, 9]), Rejected("memory")),
        picture("png-no-width", grey(0, 5, &[0, 9]), Rejected("broken")),
        picture("png-no-height", grey(5, 0, &[0, 9]), Rejected("broken")),
        picture("png-claims-more-rows", grey(1, 500, &[0, 9]), Rejected("again")),
        picture("png-has-more-rows", grey(1, 1, &vec![0; 8 << 20]), Pixel(1, 1, [0; 3])),
        picture("png-one-pixel", grey(1, 1, &[0, 9]), Pixel(1, 1, [9; 3])),
        picture("png-tall", grey(1, 30_000, &tall), Pixel(1, 30_000, [9; 3])),
        picture("png-wide", grey(30_000, 1, &wide), Pixel(30_000, 1, [9; 3])),
        picture("png-as-large-as-may-be", grey(2000, 2000, &[0; 2001].repeat(2000)), Pixel(2000, 2000, [0; 3])),
        picture("png-one-row-more", grey(2000, 2001, &[0; 2001].repeat(2001)), Rejected("at most 4000000")),
    ]
}

/// Every kind of pixel, and kinds that there aren't.
fn kinds() -> Vec<Picture> {
    let palette = chunk(b"PLTE", &[10, 20, 30, 40, 50, 60]);
    let clear = chunk(b"tRNS", &[0, 255]);
    let bits = |depth, colour, between: &[Vec<u8>], rows: &[u8]| {
        png(&[header(8, 2, depth, colour, false), between.concat(), content(rows), end()])
    };
    // Adam7 of 2 × 2: the first pass has the top left pixel, the sixth the one beside it, the last the row below.
    let interlaced = [header(2, 2, 8, GREY, true), content(&[0, 70, 0, 80, 0, 90, 100]), end()];
    vec![
        picture("png-deep", square(16, RGB, &[255, 255, 128, 0, 0, 255], &[]), Pixel(2, 2, [255, 128, 1])),
        picture("png-deep-clear", square(16, RGBA, &[0, 0, 0, 0, 0, 0, 0, 0], &[]), Pixel(2, 2, [255; 3])),
        picture("png-grey-clear", square(8, GREY_ALPHA, &[0, 127], &[]), Pixel(2, 2, [128; 3])),
        picture("png-palette", square(8, PALETTE, &[1], std::slice::from_ref(&palette)), Pixel(2, 2, [40, 50, 60])),
        picture("png-palette-clear", square(8, PALETTE, &[0], &[palette.clone(), clear]), Pixel(2, 2, [255; 3])),
        picture("png-beyond-the-palette", square(8, PALETTE, &[200], std::slice::from_ref(&palette)), Size(2, 2)),
        picture("png-without-palette", square(8, PALETTE, &[0], &[]), Rejected("broken")),
        picture("png-palette-of-a-byte", square(8, PALETTE, &[0], &[chunk(b"PLTE", &[1])]), Rejected("broken")),
        picture("png-one-bit", bits(1, GREY, &[], &[0, 0x80, 0, 0x80]), Pixel(8, 2, [255; 3])),
        picture(
            "png-four-bits",
            bits(4, PALETTE, &[palette], &[0, 0x11, 0x11, 0x11, 0x11, 0, 0, 0, 0, 0]),
            Pixel(8, 2, [40, 50, 60]),
        ),
        picture("png-three-bits", bits(3, GREY, &[], &[0; 8]), Rejected("broken")),
        picture("png-no-such-colour", bits(8, 5, &[], &[0; 18]), Rejected("broken")),
        picture("png-one-bit-of-rgb", bits(1, RGB, &[], &[0; 8]), Rejected("broken")),
        picture("png-no-such-filter", grey(2, 1, &[9, 1, 2]), Rejected("broken")),
        picture("png-interlaced", png(&interlaced), Pixel(2, 2, [70; 3])),
    ]
}

/// Chunks that lie.
fn chunks() -> Vec<Picture> {
    let whole = |between: &[Vec<u8>]| square(8, GREY, &[55], between);
    let damaged = |at: usize| {
        let mut bytes = whole(&[]);
        bytes[at] ^= 1;
        bytes
    };
    let longer = |at: usize| {
        let mut bytes = whole(&[chunk(b"tEXt", b"key\0text")]);
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        bytes
    };
    let bomb = zlib(&vec![0; 64 << 20]);
    let packed = |kind, head: &[u8]| whole(&[chunk(kind, &[head, &bomb].concat())]);
    let cut = |at: usize| {
        let bytes = whole(&[]);
        bytes[..bytes.len().min(at)].to_vec()
    };
    let end_at = whole(&[]).len() - 12;
    let frames = [chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]), chunk(b"fcTL", &frame(2, 2))].concat();
    let wide = [chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]), chunk(b"fcTL", &frame(60_000, 60_000))].concat();
    let second = [header(2, 2, 8, GREY, false), frames, content(&[0, 5, 5, 0, 5, 5]), chunk(b"fcTL", &frame(2, 2)), end()];
    vec![
        picture("png-header-crc-wrong", damaged(30), Rejected("broken")),
        picture("png-content-crc-wrong", damaged(end_at - 1), Rejected("broken")),
        picture("png-header-4-gib", longer(8), Rejected("broken")),
        picture("png-text-4-gib", longer(33), Rejected("cut short")),
        picture("png-unknown-critical", whole(&[chunk(b"QQQQ", &[1])]), Rejected("broken")),
        picture("png-unknown", whole(&[chunk(b"quQQ", &[1])]), Pixel(2, 2, [55; 3])),
        picture("png-two-headers", whole(&[header(9, 9, 8, GREY, false)]), Rejected("broken")),
        picture("png-text-bomb", packed(b"zTXt", b"key\0\0"), Pixel(2, 2, [55; 3])),
        picture("png-long-text-bomb", packed(b"iTXt", b"key\0\x01\0\0\0"), Pixel(2, 2, [55; 3])),
        picture("png-profile-bomb", packed(b"iCCP", b"name\0\0"), Pixel(2, 2, [55; 3])),
        picture("png-profile-garbage", whole(&[chunk(b"iCCP", b"name\0\0garbage")]), Pixel(2, 2, [55; 3])),
        picture("png-exif-garbage", whole(&[chunk(b"eXIf", b"MM\0\x2a\xff\xff\xff\xff")]), Pixel(2, 2, [55; 3])),
        picture("png-cut-in-signature", cut(7), Rejected("not a picture")),
        picture("png-cut-in-header", cut(20), Rejected("again")),
        picture("png-cut-in-content", cut(45), Rejected("again")),
        picture(
            "png-content-garbage",
            png(&[header(2, 2, 8, GREY, false), chunk(b"IDAT", b"garbage"), end()]),
            Rejected("broken"),
        ),
        picture("png-animated", png(&second), Pixel(2, 2, [5; 3])),
        picture("png-frame-60000", whole(&[wide]), Rejected("broken")),
    ]
}

/// A frame's control chunk: number 0, size, no offset, no delay.
fn frame(width: u32, height: u32) -> Vec<u8> {
    [&[0; 4], width.to_be_bytes().as_slice(), &height.to_be_bytes(), &[0; 14]].concat()
}

/// Content that other programs would take for something else.
fn polyglots() -> Vec<Picture> {
    let page = b"<!doctype html><html><script>alert(1)</script>";
    vec![
        picture("png-and-page", [small(77), page.to_vec()].concat(), Pixel(6, 5, [77, 0, 0])),
        picture("png-and-zip", [small(78), super::zip::zip_with(&[])].concat(), Pixel(6, 5, [78, 0, 0])),
        picture("page", page.to_vec(), Rejected("web page")),
        picture("drawing", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec(), Rejected("SVG drawing")),
        picture("document", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(), Rejected("PDF document")),
        picture("program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(), Rejected("not a picture")),
        picture("script", b"#!/bin/sh\nrm -rf /\n".to_vec(), Rejected("looks like text")),
        picture("postscript", b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n".to_vec(), Rejected("looks like text")),
        picture(
            "magick-script",
            b"push graphic-context\nimage over 0,0 0,0 'https://example.com'\n".to_vec(),
            Rejected("looks like text"),
        ),
        picture("nothing", Vec::new(), Rejected("empty")),
        picture("zeros", vec![0; 5000], Rejected("not a picture")),
    ]
}
