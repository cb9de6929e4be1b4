//! VGG16 on pictures: decoding, preprocessing, the backbone, the head, weight files, the device.

pub mod augmentation;
pub mod backbone;
pub mod conv;
pub mod device;
pub mod grad_cam;
pub mod int8;
pub mod layers;
pub mod neighbours;
pub(crate) mod operators;
pub mod outliers;
pub mod picture;
mod pixels;
pub mod precision;
pub mod preprocessing;
mod processor;
pub mod tail;
pub mod thumbnail;
pub mod weights;
