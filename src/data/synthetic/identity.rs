//! Who a face belongs to: shape, colours, hair, and the attributes that follow from them.

use super::draw::Draw;
use crate::kernels::face::Face;

/// The attributes, under CelebA's names.
pub const ATTRIBUTES: [&str; 16] = [
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Gray_Hair",
    "Heavy_Makeup",
    "Mustache",
    "No_Beard",
    "Pale_Skin",
    "Wavy_Hair",
    "Young",
];

/// Skin from pale to dark, linear RGB.
const SKIN: [[f32; 3]; 6] = [
    [0.80, 0.57, 0.47],
    [0.70, 0.46, 0.34],
    [0.58, 0.35, 0.23],
    [0.40, 0.205, 0.115],
    [0.24, 0.12, 0.07],
    [0.13, 0.065, 0.04],
];

/// Hair: black, dark brown, brown, red, blond, grey; linear RGB.
const HAIR: [[f32; 3]; 6] = [
    [0.016, 0.013, 0.012],
    [0.060, 0.032, 0.020],
    [0.150, 0.075, 0.040],
    [0.300, 0.090, 0.030],
    [0.520, 0.330, 0.140],
    [0.420, 0.420, 0.430],
];
const BLACK: usize = 0;
const RED: usize = 3;
const BLOND: usize = 4;
const GREY: usize = 5;

/// Iris: brown, amber, green, blue, grey; linear RGB.
const IRIS: [[f32; 3]; 5] = [
    [0.10, 0.045, 0.02],
    [0.26, 0.13, 0.04],
    [0.14, 0.22, 0.09],
    [0.10, 0.24, 0.42],
    [0.22, 0.26, 0.28],
];

/// A person: the parameters that stay from picture to picture, and the attributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Person {
    pub(super) face: Face,
    pub(super) attributes: [bool; ATTRIBUTES.len()],
}

impl Person {
    /// Draws person number `person` under `seed`.
    pub(super) fn draw(seed: u64, person: u32) -> Self {
        let draw = &mut Draw::new("face.identity", seed, u64::from(person));
        let mut face = Face::default();
        // A latent build in about [-1, 1] ties what tends to go together: jaw, brows, beard, length of the hair.
        let build = if draw.chance(0.5) { 0.55 } else { -0.55 } + draw.normal(0.2);
        let tone = draw.unit();
        let age = draw.unit() * draw.unit().max(0.25);
        shape(&mut face, build, age, draw);
        let hair = colours(&mut face, build, tone, age, draw);
        hair_style(&mut face, build, age, draw);
        accessories(&mut face, build, draw);
        let attributes = attributes(&face, hair, tone, age);
        Self { face, attributes }
    }
}

fn trait_of(draw: &mut Draw, lean: f32) -> f32 {
    (lean + draw.normal(0.55)).clamp(-1.25, 1.25)
}

fn shape(face: &mut Face, build: f32, age: f32, draw: &mut Draw) {
    face.head_width = trait_of(draw, 0.2 * build);
    face.face_length = trait_of(draw, 0.2 * build);
    face.jaw_width = trait_of(draw, 0.6 * build);
    face.jaw_square = trait_of(draw, 0.6 * build);
    face.cheeks = trait_of(draw, 0.0);
    face.ears = trait_of(draw, 0.2 * build);
    face.age = age;
    face.freckles = if draw.chance(0.15) {
        draw.within(0.4, 1.0)
    } else {
        0.0
    };
    face.eye_size = trait_of(draw, -0.4 * build);
    face.eye_distance = trait_of(draw, 0.0);
    face.eye_slant = trait_of(draw, 0.0);
    face.eye_open = trait_of(draw, -0.2 * build);
    face.brow_thickness = trait_of(draw, 0.6 * build);
    face.brow_height = trait_of(draw, -0.4 * build);
    face.brow_arch = trait_of(draw, -0.3 * build);
    face.brow_darkness = draw.within(0.65, 1.0);
    face.nose_length = trait_of(draw, 0.2 * build);
    face.nose_width = trait_of(draw, 0.3 * build);
    face.nose_depth = trait_of(draw, 0.2 * build);
    face.lip_upper = trait_of(draw, -0.3 * build);
    face.lip_lower = trait_of(draw, -0.3 * build);
    face.mouth_width = trait_of(draw, 0.1 * build);
    face.mouth_height = trait_of(draw, 0.0);
}

/// Sets the colours and returns the hair's index.
fn colours(face: &mut Face, build: f32, tone: f32, age: f32, draw: &mut Draw) -> usize {
    let at = tone * (SKIN.len() - 1) as f32;
    // tone < 1, so that `at` is below the last index.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = at as usize;
    let part = at - index as f32;
    let warm = 1.0 + draw.normal(0.04);
    let mut skin: [f32; 3] =
        std::array::from_fn(|c| SKIN[index][c] * (1.0 - part) + SKIN[index + 1][c] * part);
    skin[0] *= warm;
    skin[2] /= warm;
    [face.skin_r, face.skin_g, face.skin_b] = skin;

    let hair = if age > 0.45 && draw.chance(0.6) {
        GREY
    } else if tone > 0.6 {
        usize::from(draw.chance(0.25))
    } else {
        // Black, dark brown, brown, red, blond.
        let cuts = [0.2, 0.5, 0.73, 0.82, 1.0];
        let level = draw.unit();
        cuts.iter().position(|&cut| level < cut).unwrap_or(BLACK)
    };
    let shade = draw.within(0.75, 1.3);
    [face.hair_r, face.hair_g, face.hair_b] = HAIR[hair].map(|c| (c * shade).min(1.0));

    let light_eyes = if tone < 0.45 { 0.55 } else { 0.04 };
    let iris = if draw.chance(light_eyes) {
        2 + draw.below(3)
    } else {
        usize::from(draw.chance(0.3))
    };
    let shade = draw.within(0.8, 1.25);
    [face.iris_r, face.iris_g, face.iris_b] = IRIS[iris].map(|c| c * shade);

    face.makeup = if build < 0.0 && draw.chance(0.45) {
        draw.within(0.5, 1.0)
    } else {
        0.0
    };
    let lip = [skin[0] * 0.86, skin[1] * 0.50, skin[2] * 0.55];
    let paint = [[0.50, 0.04, 0.06], [0.42, 0.08, 0.16], [0.55, 0.14, 0.10]][draw.below(3)];
    let share = 0.65 * face.makeup;
    let lip: [f32; 3] = std::array::from_fn(|c| lip[c] + (paint[c] - lip[c]) * share);
    [face.lip_r, face.lip_g, face.lip_b] = lip;
    hair
}

fn hair_style(face: &mut Face, build: f32, age: f32, draw: &mut Draw) {
    let long = build < 0.0;
    face.hair_line = (draw.normal(0.4) - if long { 0.0 } else { 0.9 * age }).clamp(-1.0, 1.0);
    face.hair_part = draw.within(-1.0, 1.0);
    face.hair_curl = if draw.chance(0.3) {
        draw.within(0.5, 1.0)
    } else {
        0.0
    };
    if long {
        face.hair_volume = draw.within(0.10, 0.22);
        face.hair_length = if draw.chance(0.75) {
            draw.within(0.5, 1.4)
        } else {
            draw.within(0.1, 0.4)
        };
        face.hair_fringe = if draw.chance(0.35) {
            draw.within(0.6, 1.0)
        } else {
            0.0
        };
    } else {
        let bald = draw.chance(0.05 + 0.35 * age);
        face.hair_volume = if bald { 0.0 } else { draw.within(0.04, 0.14) };
        face.hair_length = draw.within(0.02, 0.16);
        face.hair_fringe = if draw.chance(0.2) {
            draw.within(0.5, 0.9)
        } else {
            0.0
        };
    }
    if face.hair_length > 0.45 {
        face.ears = -3.9;
    }
}

fn accessories(face: &mut Face, build: f32, draw: &mut Draw) {
    if build > 0.0 {
        let style = draw.unit();
        if style < 0.30 {
            face.beard = draw.within(0.55, 1.0);
            face.moustache = face.beard;
        } else if style < 0.40 {
            face.moustache = draw.within(0.7, 1.0);
        } else if style < 0.55 {
            face.beard = 0.22;
            face.moustache = 0.22;
        }
    }
    if draw.chance(0.18) {
        face.glasses = draw.within(0.7, 1.3);
        face.frame_round = draw.unit();
        let frames = [
            [0.012, 0.012, 0.014],
            [0.10, 0.045, 0.02],
            [0.30, 0.28, 0.26],
            [0.25, 0.02, 0.03],
        ];
        [face.frame_r, face.frame_g, face.frame_b] = frames[draw.below(4)];
    }
    // Clothes belong to the picture, not to the person.
}

fn attributes(face: &Face, hair: usize, tone: f32, age: f32) -> [bool; ATTRIBUTES.len()] {
    let bald = face.hair_volume == 0.0;
    [
        bald,
        !bald && face.hair_fringe > 0.0,
        face.lip_upper + face.lip_lower > 0.5,
        face.nose_width + 0.5 * face.nose_length > 0.5,
        !bald && hair == BLACK,
        !bald && hair == BLOND,
        !bald && (hair == 1 || hair == 2 || hair == RED),
        face.brow_thickness > 0.5,
        face.glasses > 0.0,
        !bald && hair == GREY,
        face.makeup > 0.0,
        face.moustache > 0.5,
        face.beard < 0.5,
        tone < 0.15,
        !bald && face.hair_curl > 0.0,
        age < 0.35,
    ]
}
