//! Brightness, contrast and saturation, in torchvision's sense and in this order.

/// Luma's weights of red, green and blue (ITU-R BT.601, as in torchvision's `rgb_to_grayscale`).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Factors of the three changes; 1 changes nothing.
pub(super) struct Jitter {
    /// Values are multiplied by it.
    pub brightness: f64,
    /// Differences from the view's mean luma are multiplied by it.
    pub contrast: f64,
    /// Differences from the pixel's own luma are multiplied by it.
    pub saturation: f64,
}

impl Jitter {
    /// Changes `rgb`, whole pixels of three bytes. Values are cut to 0 to 255 after each change and rounded once, at the end;
    /// torchvision rounds down after each.
    pub fn apply(&self, rgb: &mut [u8]) {
        let pixels = rgb.as_chunks_mut::<3>().0;
        let [brightness, contrast, saturation] = [self.brightness, self.contrast, self.saturation].map(|factor| factor as f32);
        let bright: [f32; 256] = std::array::from_fn(|value| (value as f32 * brightness).min(255.0));
        // Luma is linear, so its mean is that of the channels' means.
        let mut sums = [0.0; 3];
        for pixel in pixels.iter() {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(bright[usize::from(*value)]);
            }
        }
        let mean = luma(sums.map(|sum| (sum / pixels.len().max(1) as f64) as f32));
        let tones = bright.map(|value| (mean + contrast * (value - mean)).clamp(0.0, 255.0));
        for pixel in pixels {
            let toned = pixel.map(|value| tones[usize::from(value)]);
            let grey = luma(toned);
            // The cast cuts to 0 to 255.
            *pixel = toned.map(|value| (grey + saturation * (value - grey) + 0.5) as u8);
        }
    }
}

fn luma([red, green, blue]: [f32; 3]) -> f32 {
    red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(brightness: f64, contrast: f64, saturation: f64, mut rgb: Vec<u8>) -> Vec<u8> {
        Jitter { brightness, contrast, saturation }.apply(&mut rgb);
        rgb
    }

    #[test]
    fn factors_of_one_change_nothing() {
        let rgb: Vec<u8> = (0..=255).chain((0..=255).rev()).chain((0..=255).map(|value: u8| value.wrapping_mul(7))).collect();
        assert_eq!(changed(1.0, 1.0, 1.0, rgb.clone()), rgb);
    }

    #[test]
    fn each_factor_does_its_own() {
        assert_eq!(changed(1.5, 1.0, 1.0, vec![10, 100, 200]), [15, 150, 255]);
        // Two greys about their mean of 100.
        assert_eq!(changed(1.0, 0.5, 1.0, vec![60, 60, 60, 140, 140, 140]), [80, 80, 80, 120, 120, 120]);
        // 0.299 × 200 + 0.587 × 100 + 0.114 × 50 = 124.2
        assert_eq!(changed(1.0, 1.0, 0.5, vec![200, 100, 50]), [162, 112, 87]);
        assert_eq!(changed(1.0, 1.0, 1.9, vec![255, 0, 0]), [255, 0, 0]);
    }

    #[test]
    fn contrast_is_about_the_mean_of_what_brightness_left() {
        // 200 is cut to 255; the mean of 255 and 15 is 135.
        assert_eq!(changed(1.5, 0.5, 1.0, vec![200, 200, 200, 10, 10, 10]), [195, 195, 195, 75, 75, 75]);
    }
}
