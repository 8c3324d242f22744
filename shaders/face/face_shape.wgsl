// face_shape: turns a face's parameters into what the painter draws: bumps of relief, creases, lids, lips, brows.
//   drawing = anatomy(identity) + Σ_i au_i · action_i      (what each action unit moves follows FACS; see `act` below)
// Layout: faces [N], drawings [N]; the unit is half an average head's height, y is up, the eyes lie on y = 0, x is mirrored.
// Work:   an invocation does one face.
// Needs:  default limits.

struct Params { count: u32 }

struct Face {
    head_width: f32, face_length: f32, jaw_width: f32, jaw_square: f32, cheeks: f32, ears: f32,
    skin_r: f32, skin_g: f32, skin_b: f32, freckles: f32, age: f32,
    eye_size: f32, eye_distance: f32, eye_slant: f32, eye_open: f32, makeup: f32, iris_r: f32, iris_g: f32, iris_b: f32,
    brow_thickness: f32, brow_height: f32, brow_arch: f32, brow_darkness: f32,
    nose_length: f32, nose_width: f32, nose_depth: f32,
    lip_upper: f32, lip_lower: f32, mouth_width: f32, mouth_height: f32, lip_r: f32, lip_g: f32, lip_b: f32,
    hair_r: f32, hair_g: f32, hair_b: f32, hair_volume: f32, hair_length: f32, hair_line: f32, hair_fringe: f32,
    hair_part: f32, hair_curl: f32, beard: f32, moustache: f32,
    glasses: f32, frame_round: f32, frame_r: f32, frame_g: f32, frame_b: f32,
    yaw: f32, pitch: f32, roll: f32, scale: f32, shift_x: f32, shift_y: f32, gaze_x: f32, gaze_y: f32,
    light_x: f32, light_y: f32, light_z: f32, ambient: f32, light_r: f32, light_g: f32, light_b: f32,
    back_r: f32, back_g: f32, back_b: f32, fore_r: f32, fore_g: f32, fore_b: f32, back_scale: f32,
    back_seed: f32, cloth_r: f32, cloth_g: f32, cloth_b: f32, blur: f32, noise: f32, noise_seed: f32, saturation: f32,
    au1: f32, au2: f32, au4: f32, au5: f32, au6: f32, au7: f32, au9: f32, au10: f32, au12: f32, au14: f32,
    au15: f32, au17: f32, au20: f32, au23: f32, au24: f32, au25: f32, au26: f32,
}

// Relief: height · max(1 - |(p - at) · inverse|², 0)².
struct Bump { at: vec2f, inverse: vec2f, height: f32, spare: f32 }
// A bowed line from a along a chord, whose squared length is 1 / inverse; bow / 4 is its height to the chord's left as a
// share of the chord's length.
struct Stroke { a: vec2f, chord: vec2f, inverse: f32, bow: f32, width: f32, depth: f32 }

struct Look {
    turn: vec4f,    // cos, sin of yaw; cos, sin of pitch
    place: vec4f,   // cos, sin of roll over the scale; shift
    head: vec4f,    // half width, height above and below the eyes, size of the ears
    jaw: vec4f,     // taper, squareness, the mouth's line, what the chin's drop leaves of the height below it
    skin: vec4f,    // colour, freckles
    lip: vec4f,     // colour, gloss
    iris: vec4f,    // colour, radius over the eye's half width
    hair: vec4f,    // colour, curl
    style: vec4f,   // volume, length, hair line, how far the hair comes down at the sides
    locks: vec4f,   // fringe, parting, beard, moustache
    frame: vec4f,   // colour and thickness of the glasses' rim
    lens: vec4f,    // centre's x and y, half size, roundness of a lens
    eye: vec4f,     // centre's x and y, half width, slant
    lids: vec4f,    // upper and lower opening, the fold above, the lash line's thickness; over the eye's half width
    gaze: vec4f,    // of the iris, over the eye's half width; makeup; brow's darkness
    cheek: vec4f,   // middle of the blush
    nostril: vec4f, // centre's x and y, half width, half height
    mouth: vec4f,   // line, half width, rise of the corners, thickness of the line where the lips meet
    lips: vec4f,    // thickness of the upper and lower lip, gap above and below the line
    light: vec4f,   // direction to it, ambient
    glow: vec4f,    // its colour, shine of the skin
    mirror: vec4f,  // the normal that mirrors the light into the camera
    back: vec4f, fore: vec4f,   // two colours; w: the background's scale, its seed
    cloth: vec4f,   // colour; how far long hair falls beside the cheeks
    camera: vec4f,  // blur in pixels, noise, seed, saturation
}
struct Drawing {
    look: Look,
    brow: Stroke,
    bumps: array<Bump, 13>, // the nose's first
    strokes: array<Stroke, 19>,
    spare: vec2f,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> faces: array<Face>;
@group(0) @binding(2) var<storage, read_write> drawings: array<Drawing>;

fn bump(x: f32, y: f32, rx: f32, ry: f32, height: f32) -> Bump {
    return Bump(vec2f(x, y), 1.0 / vec2f(rx, ry), height, 0.0);
}

fn line(ax: f32, ay: f32, bx: f32, by: f32, bow: f32, width: f32, depth: f32) -> Stroke {
    let chord = vec2f(bx - ax, by - ay);
    return Stroke(vec2f(ax, ay), chord, 1.0 / dot(chord, chord), 4.0 * bow, width, min(depth, 0.85));
}

@compute @workgroup_size(64)
fn face_shape(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = (group.x + group.y * groups.x) * 64u + lane;
    if n >= params.count {
        return;
    }
    let f = faces[n];
    var look: Look;

    // Head and pose. The jaw's drop (26) lengthens what lies below the mouth.
    let below = 1.0 + 0.07 * f.face_length - 0.02 * f.au17 + 0.02 * f.au20;
    let mouth_y = -0.61 - 0.035 * f.face_length + 0.03 * f.mouth_height;
    let left = below + mouth_y;
    look.turn = vec4f(cos(f.yaw), sin(f.yaw), cos(f.pitch), sin(f.pitch));
    look.place = vec4f(vec2f(cos(f.roll), sin(f.roll)) / f.scale, f.shift_x, f.shift_y);
    look.head = vec4f(0.70 + 0.05 * f.head_width, 1.02, below, 1.0 + 0.25 * f.ears);
    look.jaw = vec4f(0.10 - 0.07 * f.jaw_width, 0.32 + 0.22 * f.jaw_square, mouth_y, left / (left + 0.17 * f.au26));
    // Brows: 1 raises the inner end, 2 the outer, 4 lowers both and draws them together.
    let by = 0.215 + 0.025 * f.brow_height;
    let inner = vec2f(0.115 - 0.05 * f.au4, by - 0.01 + 0.125 * f.au1 + 0.03 * f.au2 - 0.105 * f.au4 - 0.04 * f.au9);
    let outer = vec2f(0.50 + 0.01 * f.eye_distance, by - 0.02 + 0.13 * f.au2 - 0.035 * f.au4 - 0.015 * f.au6);
    let bow = 0.14 + 0.06 * f.brow_arch + 0.10 * f.au2 - 0.07 * f.au1 * (1.0 - f.au2) - 0.05 * f.au4;
    drawings[n].brow = line(inner.x, inner.y, outer.x, outer.y, bow, 0.034 + 0.013 * f.brow_thickness, 0.0);
    // Eyes: 5 opens the upper lid, 7 tightens both, 6 pushes the lower lid up, 4 and 9 weigh on the upper.
    let ex = 0.305 + 0.025 * f.eye_distance;
    let ew = 0.172 + 0.018 * f.eye_size;
    let upper = 0.44 + 0.09 * f.eye_open + 0.34 * f.au5 - 0.16 * f.au7 - 0.08 * f.au6 - 0.06 * f.au4 - 0.10 * f.au9;
    let lower = 0.29 + 0.03 * f.eye_open + 0.04 * f.au5 - 0.20 * f.au7 - 0.17 * f.au6 - 0.08 * f.au9;
    let fold = 0.17 - 0.10 * f.au5 + 0.05 * f.au1 + 0.04 * f.au2 - 0.06 * f.au4;
    look.eye = vec4f(ex, 0.0, ew, 0.12 * f.eye_slant - 0.04 * f.age);
    look.lids = vec4f(max(upper, 0.10), max(lower, 0.03), fold, 0.075 + 0.05 * f.makeup + 0.02 * f.au7);
    look.iris = vec4f(f.iris_r, f.iris_g, f.iris_b, 0.43);
    look.gaze = vec4f(f.gaze_x, f.gaze_y + 0.02, f.makeup, f.brow_darkness);
    // Nose: 9 wrinkles it and pulls the wings up, 10 a little.
    let wing = 0.108 + 0.018 * f.nose_width + 0.015 * f.au9 + 0.008 * f.au12;
    let lift = 0.055 * f.au9 + 0.015 * f.au10;
    let tip = -0.355 - 0.03 * f.nose_length;
    look.nostril = vec4f(0.55 * wing, tip - 0.075 + lift, 0.36 * wing + 0.01 * f.au9, 0.020 + 0.012 * f.au9);
    // Mouth: 12 pulls the corners up and out, 15 down, 20 out, 14 in, 23 and 24 thin the lips, 17 pushes the lower lip
    // up, 10 raises the upper lip, 25 and 26 part them.
    let width = 0.245 + 0.025 * f.mouth_width + 0.085 * f.au12 + 0.095 * f.au20 - 0.06 * f.au23 - 0.01 * f.au24
        - 0.02 * f.au17 - 0.03 * f.au14 - 0.04 * f.au26 * (1.0 - f.au12) * (1.0 - f.au20);
    let rise = (0.015 + 0.125 * f.au12 - 0.13 * f.au15 - 0.05 * f.au17 - 0.02 * f.au20) * (1.0 - 0.25 * f.au26);
    let thin = (1.0 - 0.55 * f.au23) * (1.0 - 0.62 * f.au24) * (1.0 - 0.25 * f.au20) * (1.0 - 0.15 * f.au12) * (1.0 - 0.2 * f.au14);
    let up = (0.058 + 0.020 * f.lip_upper) * thin;
    let down = (0.085 + 0.022 * f.lip_lower) * thin * (1.0 + 0.25 * f.au17);
    let gap_up = (0.012 * f.au25 + 0.045 * f.au10 * (0.35 + 0.65 * f.au25) + 0.01 * f.au26) * (1.0 - 0.5 * f.au24);
    let gap_down = (0.058 * f.au25 + 0.105 * f.au26 + 0.01 * f.au12 * f.au25) * (1.0 - 0.5 * f.au24);
    let my = mouth_y + 0.045 * f.au17 + 0.012 * f.au10 + 0.012 * f.au9;
    look.mouth = vec4f(my, width, rise, 0.006 + 0.022 * f.au24 + 0.008 * f.au14);
    look.lips = vec4f(up, down, gap_up, gap_down);
    look.lip = vec4f(f.lip_r, f.lip_g, f.lip_b, 0.5 + 0.5 * f.makeup);
    let cy = my + 0.7 * rise;
    let top = my + gap_up + up;
    let foot = my - gap_down - down;
    let cheek = 0.075 * f.au6 + 0.03 * f.au12;
    drawings[n].bumps = array<Bump, 13>(
        bump(0.0, -0.12, 0.11 + 0.012 * f.nose_width, 0.37, 0.080 + 0.025 * f.nose_depth), // nose: bridge
        bump(0.0, tip + 0.3 * lift, 0.125, 0.12, 0.095 + 0.03 * f.nose_depth), // tip
        bump(0.85 * wing, tip - 0.02 + lift, 0.075, 0.075, 0.055 + 0.015 * f.au9), // wings
        bump(ex, 0.04, 0.25, 0.19, -0.055), // eye socket
        bump(ex, 0.0, 0.19, 0.13, 0.03), // eyeball
        bump(0.26, 0.5 * (inner.y + outer.y), 0.36, 0.11, 0.03 + 0.02 * f.au4), // brow ridge
        bump(0.0, 0.13 - 0.03 * f.au4, 0.09, 0.12, 0.02 * f.au4 + 0.02 * f.au9), // between the brows
        bump(0.37, -0.27 + cheek, 0.27, 0.23, 0.045 + 0.02 * f.cheeks + 0.05 * f.au6 + 0.03 * f.au12),
        bump(0.0, my, 0.40, 0.27, 0.045), // around the mouth
        bump(0.0, -0.87 * below + 0.03 * f.au17, 0.19, 0.13, 0.04 + 0.06 * f.au17), // chin
        bump(0.09, top + 0.06, 0.17, 0.07, 0.05 * f.au24 + 0.025 * f.au10), // over the lip
        bump(0.33, -0.49, 0.14, 0.16, 0.045 * f.au12 + 0.05 * f.au14), // beside the mouth
        bump(ex, -0.10 + 0.01 * f.au6, 0.18, 0.06, 0.010 + 0.03 * f.au6 + 0.025 * f.au7 + 0.01 * f.age), // lower lid
    );
    let smile = 0.10 + 0.28 * f.age + 0.45 * max(f.au12, max(f.au10, f.au9));
    let bag = -0.10 + 0.02 * f.au6;
    let crow = 0.25 * f.age + 0.55 * f.au6;
    drawings[n].strokes = array<Stroke, 19>(
        line(wing + 0.022, tip - 0.01 + lift, width + 0.075, min(cy, my) - 0.01, 0.12, 0.034, smile), // nose to mouth
        line(ex + 0.20, 0.03, ex + 0.31, 0.075, -0.10, 0.016, crow), // crow's feet
        line(ex + 0.205, -0.005, ex + 0.33, -0.01, -0.10, 0.016, crow),
        line(ex + 0.20, -0.04, ex + 0.30, -0.095, 0.10, 0.016, 0.8 * crow),
        line(ex - 0.14, bag, ex + 0.17, bag + 0.015, -0.16, 0.022, 0.06 + 0.22 * f.age + 0.38 * f.au6 + 0.24 * f.au7),
        line(0.05 - 0.01 * f.au4, 0.07, 0.048, 0.25, -0.10, 0.022, 0.08 * f.age + 0.70 * f.au4), // frown
        line(0.0, 0.045, 0.075, 0.06, -0.10, 0.018, 0.55 * f.au9 + 0.22 * f.au4), // root of the nose
        line(0.0, -0.03, 0.10, -0.015, 0.10, 0.018, 0.60 * f.au9),
        line(0.0, -0.10, 0.12, -0.075, 0.10, 0.018, 0.60 * f.au9),
        line(0.0, 0.405, 0.24, 0.43 + 0.02 * f.au1, -0.08, 0.020, 0.22 * f.age + 0.48 * f.au1), // forehead
        line(0.22, 0.46, 0.50, 0.41, 0.14, 0.020, 0.20 * f.age + 0.48 * f.au2),
        line(0.0, 0.51, 0.36, 0.53, 0.05, 0.020, 0.22 * f.age + 0.32 * max(f.au1, f.au2)),
        line(width + 0.04, cy + 0.08, width + 0.04, cy - 0.09, 0.22, 0.042, 0.72 * f.au14), // dimple
        line(width + 0.005, cy - 0.02, width + 0.05, cy - 0.15, 0.12, 0.026, 0.16 * f.age + 0.60 * f.au15), // under the corner
        line(0.0, foot - 0.045, 0.16, foot - 0.075, 0.10, 0.032, 0.12 + 0.45 * f.au17), // over the chin
        line(0.02, -0.87 * below, 0.09, -0.91 * below, 0.0, 0.030, 0.45 * f.au17),
        line(width + 0.035, cy + 0.05, width + 0.055, cy - 0.08, 0.10, 0.026, 0.35 * f.au20), // beside the corner
        line(0.0, top + 0.022, 0.8 * width, cy + 0.035, 0.04, 0.026, 0.40 * f.au23), // over the lip
        line(0.0, foot - 0.025, 0.16, my - 0.03, 0.15, 0.030, 0.55 * f.au24), // under the lip
    );

    // Colours, hair, glasses, light and camera.
    look.skin = vec4f(f.skin_r, f.skin_g, f.skin_b, f.freckles);
    look.hair = vec4f(f.hair_r, f.hair_g, f.hair_b, f.hair_curl);
    look.style = vec4f(f.hair_volume, 0.05 + f.hair_length, 0.68 - 0.10 * f.hair_line, 0.72);
    look.locks = vec4f(f.hair_fringe, f.hair_part, f.beard, f.moustache);
    look.frame = vec4f(f.frame_r, f.frame_g, f.frame_b, 0.024 * f.glasses);
    look.lens = vec4f(ex + 0.01, -0.025, 0.215, 0.06 + 0.12 * f.frame_round);
    look.light = vec4f(normalize(vec3f(f.light_x, f.light_y, f.light_z)), f.ambient);
    look.cheek = vec4f(0.37, -0.27 + cheek, 0.0, 0.0);
    look.mirror = vec4f(normalize(look.light.xyz + vec3f(0.0, 0.0, 1.0)), 0.0);
    look.glow = vec4f(f.light_r, f.light_g, f.light_b, 0.10);
    look.back = vec4f(f.back_r, f.back_g, f.back_b, f.back_scale);
    look.fore = vec4f(f.fore_r, f.fore_g, f.fore_b, f.back_seed);
    look.cloth = vec4f(f.cloth_r, f.cloth_g, f.cloth_b, 2.6 * clamp(4.0 * f.hair_length - 1.4, 0.0, 1.0));
    look.camera = vec4f(f.blur, f.noise, f.noise_seed, f.saturation);
    drawings[n].look = look;
    drawings[n].spare = vec2f();
}
