//! What a picture of a face is made from.

/// Declares [`Face`] and the names of its members at once.
macro_rules! face {
    ($($(#[$meta:meta])* $field:ident),* $(,)?) => {
        /// The parameters of one picture of a synthetic face: who, in which pose, light and place, and the 17 action units.
        ///
        /// Shapes are deviations from an average adult in about [-1, 1], 0 the average. Amounts are in [0, 1]. Colours are
        /// linear RGB in [0, 1]. Angles are in radians; lengths on the picture are shares of half its width, x to the right
        /// and y upwards. The painter's `struct Face` in `face_shape.wgsl` has the same members in the same order.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct Face {
            $($(#[$meta])* pub $field: f32),*
        }

        impl Face {
            /// The members' names in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

face! {
    /// Width of the head.
    head_width,
    /// Length of the face below the eyes.
    face_length,
    /// Width of the jaw.
    jaw_width,
    /// How square the jaw is.
    jaw_square,
    /// Fullness of the cheeks.
    cheeks,
    /// Size of the ears; -3.9 hides them.
    ears,
    /// Skin, red.
    skin_r,
    /// Skin, green.
    skin_g,
    /// Skin, blue.
    skin_b,
    /// Amount of freckles.
    freckles,
    /// Amount of lasting lines: forehead, eyes, cheeks.
    age,
    /// Size of the eyes.
    eye_size,
    /// Distance of the eyes.
    eye_distance,
    /// Slant of the eyes, outer corners up.
    eye_slant,
    /// How wide the eyes are open at rest.
    eye_open,
    /// Amount of make-up: lashes and gloss of the lips.
    makeup,
    /// Iris, red.
    iris_r,
    /// Iris, green.
    iris_g,
    /// Iris, blue.
    iris_b,
    /// Thickness of the brows.
    brow_thickness,
    /// Height of the brows.
    brow_height,
    /// Arch of the brows.
    brow_arch,
    /// How dense the brows are, in [0, 1].
    brow_darkness,
    /// Length of the nose.
    nose_length,
    /// Width of the nose.
    nose_width,
    /// How far the nose stands out.
    nose_depth,
    /// Thickness of the upper lip.
    lip_upper,
    /// Thickness of the lower lip.
    lip_lower,
    /// Width of the mouth.
    mouth_width,
    /// Height of the mouth on the face.
    mouth_height,
    /// Lips, red.
    lip_r,
    /// Lips, green.
    lip_g,
    /// Lips, blue.
    lip_b,
    /// Hair, red.
    hair_r,
    /// Hair, green.
    hair_g,
    /// Hair, blue.
    hair_b,
    /// Volume of the hair as a share of the head's radius; 0 is bald.
    hair_volume,
    /// How far the hair hangs below the eyes.
    hair_length,
    /// How high the hair line lies: 1 low, -1 high.
    hair_line,
    /// Amount of fringe over the forehead.
    hair_fringe,
    /// Where the hair is parted: 0 the middle, ±1 a side.
    hair_part,
    /// How curly the hair is, in [0, 1].
    hair_curl,
    /// Density of the beard.
    beard,
    /// Density of the moustache.
    moustache,
    /// Thickness of the glasses' rim; 0 wears none.
    glasses,
    /// How round the glasses are, in [0, 1].
    frame_round,
    /// Rim, red.
    frame_r,
    /// Rim, green.
    frame_g,
    /// Rim, blue.
    frame_b,
    /// Turn of the head to the picture's right, radians.
    yaw,
    /// Turn of the head upwards, radians.
    pitch,
    /// Tilt of the head against the clock, radians.
    roll,
    /// Size: half an average head's height as a share of half the picture.
    scale,
    /// Where the middle between the eyes lies, x.
    shift_x,
    /// Where the middle between the eyes lies, y.
    shift_y,
    /// Gaze to the picture's right, over half an eye's width.
    gaze_x,
    /// Gaze upwards, over half an eye's width.
    gaze_y,
    /// Direction to the light, x; of any length but 0.
    light_x,
    /// Direction to the light, y.
    light_y,
    /// Direction to the light, z towards the camera.
    light_z,
    /// Light that comes from everywhere.
    ambient,
    /// The directed light, red.
    light_r,
    /// The directed light, green.
    light_g,
    /// The directed light, blue.
    light_b,
    /// First colour of the background, red.
    back_r,
    /// First colour of the background, green.
    back_g,
    /// First colour of the background, blue.
    back_b,
    /// Second colour of the background, red.
    fore_r,
    /// Second colour of the background, green.
    fore_g,
    /// Second colour of the background, blue.
    fore_b,
    /// How busy the background is: cells in half the picture.
    back_scale,
    /// Where in the plane of noise the background lies.
    back_seed,
    /// Clothes, red.
    cloth_r,
    /// Clothes, green.
    cloth_g,
    /// Clothes, blue.
    cloth_b,
    /// Width of the blur in pixels.
    blur,
    /// Amplitude of the camera's noise.
    noise,
    /// Which noise: a whole number in [0, 2²⁴).
    noise_seed,
    /// Saturation: 0 grey, 1 full colour.
    saturation,
    /// AU 1, inner brow raiser.
    au1,
    /// AU 2, outer brow raiser.
    au2,
    /// AU 4, brow lowerer.
    au4,
    /// AU 5, upper lid raiser.
    au5,
    /// AU 6, cheek raiser.
    au6,
    /// AU 7, lid tightener.
    au7,
    /// AU 9, nose wrinkler.
    au9,
    /// AU 10, upper lip raiser.
    au10,
    /// AU 12, lip corner puller.
    au12,
    /// AU 14, dimpler.
    au14,
    /// AU 15, lip corner depressor.
    au15,
    /// AU 17, chin raiser.
    au17,
    /// AU 20, lip stretcher.
    au20,
    /// AU 23, lip tightener.
    au23,
    /// AU 24, lip pressor.
    au24,
    /// AU 25, lips part.
    au25,
    /// AU 26, jaw drop.
    au26,
}

/// The number of members of a [`Face`].
pub const PARAMETERS: usize = Face::NAMES.len();

/// The number of action units.
pub const ACTION_UNITS: usize = 17;

impl Face {
    /// The action units' intensities in the order of the 17.
    pub fn action_units(&self) -> [f32; ACTION_UNITS] {
        let all: &[f32; PARAMETERS] = bytemuck::cast_ref(self);
        std::array::from_fn(|index| all[PARAMETERS - ACTION_UNITS + index])
    }

    /// Sets the action units' intensities, each in [0, 1], in the order of the 17.
    pub fn set_action_units(&mut self, intensities: &[f32; ACTION_UNITS]) {
        let all: &mut [f32; PARAMETERS] = bytemuck::cast_mut(self);
        all[PARAMETERS - ACTION_UNITS..].copy_from_slice(intensities);
    }
}

/// An average adult, facing a lamp and the camera before a grey wall, at rest.
impl Default for Face {
    fn default() -> Self {
        Self {
            skin_r: 0.62,
            skin_g: 0.39,
            skin_b: 0.28,
            iris_r: 0.20,
            iris_g: 0.11,
            iris_b: 0.05,
            brow_darkness: 0.9,
            lip_r: 0.50,
            lip_g: 0.19,
            lip_b: 0.17,
            hair_r: 0.09,
            hair_g: 0.05,
            hair_b: 0.03,
            hair_volume: 0.10,
            hair_length: 0.1,
            frame_r: 0.02,
            frame_g: 0.02,
            frame_b: 0.02,
            scale: 0.94,
            shift_y: 0.06,
            light_y: 0.4,
            light_z: 0.9,
            ambient: 0.42,
            light_r: 0.68,
            light_g: 0.66,
            light_b: 0.63,
            back_r: 0.30,
            back_g: 0.33,
            back_b: 0.36,
            fore_r: 0.30,
            fore_g: 0.33,
            fore_b: 0.36,
            back_scale: 1.0,
            cloth_r: 0.12,
            cloth_g: 0.16,
            cloth_b: 0.30,
            saturation: 1.0,
            ..bytemuck::Zeroable::zeroed()
        }
    }
}
