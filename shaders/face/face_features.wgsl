// face_features: paints eyes, brows, beard, lips and glasses over the skin (face_skin) and takes the picture.
//   pixel = 255 · (√(skin < wrinkled lids < eye < lashes < brow < beard < lips < mouth < glasses) + noise), linear inside
// Layout: drawings [N]; pixels [N, S, S, 3] u8 in u32 words, little endian; S even.
// Work:   an invocation paints 4 pixels in row order (3 words), a workgroup 256 of one face; what lies beyond is skipped.
// Needs:  default limits.

struct Params { count: u32, size: u32, tiles: u32 }

// As face_shape explains them; a test holds the declarations together.
struct Bump { at: vec2f, inverse: vec2f, height: f32, spare: f32 }
struct Stroke { a: vec2f, chord: vec2f, inverse: f32, bow: f32, width: f32, depth: f32 }
struct Look {
    turn: vec4f, place: vec4f, head: vec4f, jaw: vec4f, skin: vec4f, lip: vec4f, iris: vec4f, hair: vec4f,
    style: vec4f, locks: vec4f, frame: vec4f, lens: vec4f, eye: vec4f, lids: vec4f, gaze: vec4f, cheek: vec4f,
    nostril: vec4f, mouth: vec4f, lips: vec4f, light: vec4f, glow: vec4f, mirror: vec4f, back: vec4f, fore: vec4f,
    cloth: vec4f, camera: vec4f,
}
struct Drawing { look: Look, brow: Stroke, bumps: array<Bump, 13>, strokes: array<Stroke, 19>, spare: vec2f }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> drawings: array<Drawing>;
@group(0) @binding(2) var<storage, read_write> pixels: array<u32>;

fn hash(x: u32) -> u32 {
    let s = x * 747796405u + 2891336453u;
    let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
    return (w >> 22u) ^ w;
}

// Speckle in [0, 1], one value a cell.
fn speckle(p: vec2f) -> f32 {
    let i = vec2i(floor(p));
    return f32(hash((u32(i.x) * 0x9E3779B1u) ^ (u32(i.y) * 0x85EBCA77u)) & 0xFFFFu) / 65535.0;
}

// How much of a pixel of width w lies within an edge that is d away (negative: inside).
fn cover(d: f32, w: f32) -> f32 {
    return clamp(0.5 - d / w, 0.0, 1.0);
}

// The nose's height under four points.
fn nose(n: u32, x: vec4f, y: vec4f) -> vec4f {
    var sum = vec4f();
    for (var i = 0u; i < 3u; i++) {
        let bump = drawings[n].bumps[i];
        let dx = (x - bump.at.x) * bump.inverse.x;
        let dy = (y - bump.at.y) * bump.inverse.y;
        let k = max(1.0 - dx * dx - dy * dy, vec4f());
        sum += bump.height * k * k;
    }
    return sum;
}

// As in face_skin: where a pixel lies.
struct Spot { q: vec2f, f: vec2f, flat: vec2f, round: vec2f, z: f32, edge: f32 }

fn spot(look: Look, i: u32) -> Spot {
    let at = vec2f(f32(i % params.size), f32(i / params.size));
    let q = vec2f(1.0, -1.0) * ((2.0 * at + 1.0) / f32(params.size) - 1.0);
    let o = q - look.place.zw;
    let f = vec2f(dot(o, look.place.xy), dot(o, vec2f(-look.place.y, look.place.x)));
    let y = select(f.y, look.jaw.z + (f.y - look.jaw.z) * look.jaw.w, f.y < look.jaw.z);
    let level = y / select(look.head.z, look.head.y, y > 0.0);
    let chin = clamp(-level, 0.0, 1.0);
    let x = f.x - 0.3 * look.turn.y * chin;
    let girth = look.head.x * (1.0 - look.jaw.x * chin * chin * (3.0 - 2.0 * chin));
    let round = vec2f(x / girth, level * sqrt(mix(1.0, level * level, select(look.jaw.y, 0.3, y > 0.0))));
    let z = sqrt(max(1.0 - dot(round, round), 0.0));
    let turned = vec2f(x * look.turn.x, y * look.turn.z) - 0.72 * z * look.turn.yw;
    return Spot(q, f, turned, round, z, (length(round) - 1.0) * girth);
}

// Lids, eye and brow over a colour; u is mirrored, side its sign, w the pixel's width, shade the light here.
fn upper_face(look: Look, brow: Stroke, u: vec2f, side: f32, w: f32, shade: vec3f, under: vec3f) -> vec3f {
    let eye = look.eye;
    let lids = look.lids;
    let gaze = look.gaze;
    let iris = look.iris;
    let fine = w / eye.z;
    var e = (u - eye.xy) / eye.z;
    e.y -= eye.w * e.x;
    let arch = 1.0 - e.x * e.x;
    let upper = e.y - lids.x * arch * (1.0 + 0.12 * e.x);
    let lower = -lids.y * arch - e.y;
    let at = e - vec2f(gaze.x * side, gaze.y);
    let r = length(at);
    var ball = vec3f(0.80, 0.77, 0.74) * (0.7 + 0.3 * clamp(-4.0 * upper, 0.0, 1.0)) * (0.8 + 0.2 * arch);
    let ring = iris.rgb * (0.3 + 0.7 * clamp((iris.w - r) * 8.0, 0.0, 1.0)) * (1.0 - 0.9 * at.y);
    ball = mix(ball, ring, cover(r - iris.w, fine));
    ball = mix(ball, vec3f(0.006), cover(r - 0.19, fine));
    let glint = at * vec2f(side, 1.0) - 0.28 * look.light.xy;
    ball += 1.2 * cover(length(glint) - 0.085, fine);
    let within = cover((abs(e.x) - 1.06) * 2.0, fine);
    let fold = abs(e.y - lids.x * max(arch, 0.0) - lids.z * (1.0 - 0.35 * e.x * e.x)) - 0.02;
    var colour = under * (1.0 - vec3f(0.35, 0.45, 0.45) * within * cover(fold, max(fine, 0.10)));
    colour = mix(colour, ball * shade, cover(0.8 * max(upper, lower), fine));
    let lash = abs(upper) - lids.w * (0.7 + 0.3 * e.x);
    colour = mix(colour, vec3f(0.016, 0.010, 0.009), 0.9 * within * cover(lash, fine));
    let rim = within * cover(abs(lower) - 0.02, max(fine, 0.08));
    colour *= 1.0 - vec3f(0.35, 0.45, 0.45) * rim;
    let t = clamp(dot(u - brow.a, brow.chord) * brow.inverse, 0.0, 1.0);
    let bow = vec2f(-brow.chord.y, brow.chord.x) * (brow.bow * t * (1.0 - t));
    let away = length(u - brow.a - t * brow.chord - bow) - brow.width * (1.0 - 0.75 * t * t);
    let hairs = cover(away, max(w, 0.02 * (2.0 - t)));
    return mix(colour, look.hair.rgb * 0.7 * shade, gaze.w * hairs * min(0.75 + t, 1.0));
}

// Beard, lips and what they open on, over a colour.
fn lower_face(look: Look, u: vec2f, w: f32, shade: vec3f, under: vec3f) -> vec3f {
    let mouth = look.mouth;
    let lips = look.lips;
    let lip = look.lip;
    let locks = look.locks;
    let t = min(u.x * u.x / (mouth.y * mouth.y), 1.0);
    let arch = 1.0 - t;
    let s = sqrt(arch);
    let seam = mouth.x + mouth.z * (t - 0.3);
    let top = seam + lips.z * arch;
    let bottom = seam - lips.w * (0.3 * arch + 0.7 * s);
    let end = u.x - mouth.y;
    let above = u.y - top - lips.x * arch * (1.1 - 0.32 * max(1.0 - 12.0 * t, 0.0));
    let below = bottom - lips.y * (0.5 * arch + 0.5 * s) - u.y;
    let grain = 0.45 + 0.55 * speckle(u * vec2f(75.0, 45.0));
    let jaw = cover((u.y + 0.56 - 1.25 * u.x * u.x) * 0.5, 0.10)
        * cover(-max(u.y - mouth.x - 0.1, max(end - 0.03, below - 0.03)), 0.04);
    let tash = cover(max(max(above - 0.075, -above), end - 0.04 + 0.5 * above), 0.05);
    let growth = min(max(locks.z * jaw, locks.w * tash) * grain * 1.25, 1.0);
    var colour = mix(under, look.hair.rgb * 0.6 * shade, growth);
    let swell = (bottom - u.y) / max(lips.y, 0.01) - 0.4;
    let shine = 0.10 * lip.w * max(1.0 - 8.0 * swell * swell, 0.0);
    let red = lip.rgb * select(1.0, 0.72, u.y > seam) + shine;
    colour = mix(colour, red * shade, cover(max(max(above, below), end), w));
    let teeth = mouth.x - 0.022 + 0.4 * mouth.z * (t - 0.3) + 0.4 * lips.z;
    var cave = mix(vec3f(0.07, 0.012, 0.012), vec3f(0.36, 0.09, 0.08), cover(u.y - bottom - 0.045 * s, 0.03));
    let bite = cover(teeth - u.y, w) * clamp((top - bottom) * 22.0 - 0.3, 0.0, 1.0);
    cave = mix(cave, vec3f(0.78, 0.74, 0.68) * (0.35 + 0.65 * arch), bite);
    let gap = max(max(u.y - top, bottom - u.y) - mouth.w * (0.3 + 0.7 * s), end);
    return mix(colour, cave * shade, cover(gap, w));
}

fn paint(look: Look, brow: Stroke, i: u32, s: Spot, p: vec2f, w: f32, below: u32) -> u32 {
    let root = unpack4x8unorm(below).rgb;
    let under = root * root;
    let u = vec2f(abs(p.x), p.y);
    let normal = normalize(vec3f(1.4 * s.round, 1.4 * s.z + 0.05));
    let shade = look.light.w + look.glow.rgb * clamp((dot(normal, look.light.xyz) + 0.35) / 1.35, 0.0, 1.0);
    var face = upper_face(look, brow, u, select(-1.0, 1.0, p.x >= 0.0), w, shade, under);
    face = lower_face(look, u, w, shade, face);
    let lens = look.lens;
    let corner = max(abs(u - lens.xy) - vec2f(1.0, 0.82) * lens.z + lens.w, vec2f());
    let glass = length(corner) - lens.w;
    let bar = max(abs(u.y - lens.y - 0.06) - 0.6 * look.frame.w, min(u.x - lens.x + lens.z, lens.x + lens.z - u.x));
    let worn = step(0.001, look.frame.w);
    face = mix(face, face * 0.85 + 0.06 * shade, worn * cover(glass, w));
    face = mix(face, look.frame.rgb * shade, worn * cover(min(abs(glass) - look.frame.w, bar), w));
    // The camera.
    let colour = mix(under, face, cover(s.edge, w));
    let grain = unpack4x8unorm(hash(i ^ hash(u32(look.camera.z)))) - 0.5;
    let grey = mix(vec3f(dot(colour, vec3f(0.3, 0.59, 0.11))), colour, look.camera.w);
    return pack4x8unorm(vec4f(sqrt(max(grey, vec3f())) + look.camera.y * (grain.xyz + 1.5 * grain.w), 0.0));
}

@compute @workgroup_size(64)
fn face_features(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    // No early return, as in face_skin.
    let task = group.x + group.y * groups.x;
    let n = min(task / params.tiles, params.count - 1u);
    let first = min(((task % params.tiles) * 64u + lane) * 4u, params.size * params.size - 4u);
    let look = drawings[n].look;
    let brow = drawings[n].brow;
    let w = 2.0 / f32(params.size) * length(look.place.xy) * (1.0 + look.camera.x);
    let word = (n * params.size * params.size + first) / 4u * 3u;
    let below = vec3u(pixels[word], pixels[word + 1u], pixels[word + 2u]);
    let a = spot(look, first);
    let b = spot(look, first + 1u);
    let c = spot(look, first + 2u);
    let d = spot(look, first + 3u);
    let flat_x = vec4f(a.flat.x, b.flat.x, c.flat.x, d.flat.x);
    let flat_y = vec4f(a.flat.y, b.flat.y, c.flat.y, d.flat.y);
    let lift = nose(n, abs(flat_x), flat_y);
    let x = flat_x - lift * look.turn.y;
    let y = flat_y - lift * look.turn.w;
    let rgb = vec4u(
        paint(look, brow, first, a, vec2f(x.x, y.x), w, below.x),
        paint(look, brow, first + 1u, b, vec2f(x.y, y.y), w, (below.x >> 24u) | (below.y << 8u)),
        paint(look, brow, first + 2u, c, vec2f(x.z, y.z), w, (below.y >> 16u) | (below.z << 16u)),
        paint(look, brow, first + 3u, d, vec2f(x.w, y.w), w, below.z >> 8u),
    );
    if task / params.tiles < params.count && ((task % params.tiles) * 64u + lane) * 4u == first {
        pixels[word] = rgb.x | (rgb.y << 24u);
        pixels[word + 1u] = (rgb.y >> 8u) | (rgb.z << 16u);
        pixels[word + 2u] = (rgb.z >> 16u) | (rgb.w << 8u);
    }
}
