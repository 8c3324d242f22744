//! Where and how a picture is taken: pose, gaze, light, background, clothes, camera.

use super::draw::Draw;
use crate::kernels::face::Face;

/// A colour of a wall or of clothes: grey by half, tinted by the rest.
fn colour(draw: &mut Draw) -> [f32; 3] {
    let level = draw.unit();
    let level = 0.03 + 0.55 * level * level;
    std::array::from_fn(|_| level * draw.within(0.55, 1.45))
}

/// Draws the picture's circumstances into a person's face.
pub(super) fn arrange(face: &mut Face, draw: &mut Draw) {
    face.yaw = draw.normal(0.22).clamp(-0.6, 0.6);
    face.pitch = draw.normal(0.11).clamp(-0.3, 0.3);
    face.roll = draw.normal(0.07);
    face.scale = 0.94 + draw.normal(0.04);
    face.shift_x = draw.normal(0.03);
    face.shift_y = 0.06 + draw.normal(0.03);
    // The eyes follow the camera in part.
    face.gaze_x = (draw.normal(0.10) - 0.25 * face.yaw).clamp(-0.3, 0.3);
    face.gaze_y = (draw.normal(0.05) - 0.2 * face.pitch).clamp(-0.15, 0.15);

    face.light_x = draw.within(-1.0, 1.0);
    face.light_y = draw.within(-0.15, 0.9);
    face.light_z = draw.within(0.35, 1.0);
    let bright = draw.within(0.85, 1.15);
    let share = draw.within(0.3, 0.5);
    let warm = draw.normal(0.06);
    face.ambient = bright * share;
    let lamp = bright * (1.08 - share);
    [face.light_r, face.light_g, face.light_b] = [lamp * (1.0 + warm), lamp, lamp * (1.0 - warm)];

    let back = colour(draw);
    let other = colour(draw);
    [face.back_r, face.back_g, face.back_b] = back;
    [face.fore_r, face.fore_g, face.fore_b] = other;
    face.back_scale = draw.within(0.6, 2.4);
    face.back_seed = draw.within(0.0, 64.0);
    [face.cloth_r, face.cloth_g, face.cloth_b] = colour(draw);

    let blur = draw.unit();
    face.blur = 1.2 * blur * blur * blur;
    let noise = draw.unit();
    face.noise = 0.045 * noise * noise;
    face.noise_seed = draw.unit() * 16_777_216.0;
    face.saturation = if draw.chance(0.12) {
        0.0
    } else {
        draw.within(0.75, 1.05)
    };
}
