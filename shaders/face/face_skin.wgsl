// face_skin: paints what lies behind the features of a face, from its drawing (face_shape), as 8-bit RGB.
//   pixel = 255 · √(background < hair < neck < clothes < ears < head with relief and creases < hair), linear light inside
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

fn lattice(at: vec2i) -> f32 {
    let x = ((u32(at.x) * 0x9E3779B1u) ^ (u32(at.y) * 0x85EBCA77u)) * 747796405u + 2891336453u;
    let y = ((x >> ((x >> 28u) + 4u)) ^ x) * 277803737u;
    return f32(((y >> 22u) ^ y) & 0xFFFFu) / 65535.0;
}

// Value noise in [0, 1].
fn cloud(p: vec2f) -> f32 {
    let i = vec2i(floor(p));
    let t = fract(p) * fract(p) * (3.0 - 2.0 * fract(p));
    let low = mix(lattice(i), lattice(i + vec2i(1, 0)), t.x);
    return mix(low, mix(lattice(i + vec2i(0, 1)), lattice(i + 1), t.x), t.y);
}

// How much of a pixel of width w lies within an edge that is d away (negative: inside).
fn cover(d: f32, w: f32) -> f32 {
    return clamp(0.5 - d / w, 0.0, 1.0);
}

// The relief under four points: height, and its slope along x and y. The bumps 0 to 2 are the nose.
fn relief(n: u32, x: vec4f, y: vec4f, count: u32) -> mat3x4f {
    var sum: mat3x4f;
    for (var i = 0u; i < count; i++) {
        let bump = drawings[n].bumps[i];
        let dx = (x - bump.at.x) * bump.inverse.x;
        let dy = (y - bump.at.y) * bump.inverse.y;
        let k = max(1.0 - dx * dx - dy * dy, vec4f());
        let slope = bump.height * k;
        sum += mat3x4f(slope * k, -4.0 * bump.inverse.x * slope * dx, -4.0 * bump.inverse.y * slope * dy);
    }
    return sum;
}

// What the creases leave of the light at four points.
fn creases(n: u32, x: vec4f, y: vec4f, w: f32) -> vec4f {
    var left = vec4f(1.0);
    for (var i = 0u; i < 19u; i++) {
        let s = drawings[n].strokes[i];
        let t = clamp(((x - s.a.x) * s.chord.x + (y - s.a.y) * s.chord.y) * s.inverse, vec4f(), vec4f(1.0));
        let bow = s.bow * t * (1.0 - t);
        let dx = x - s.a.x - t * s.chord.x + bow * s.chord.y;
        let dy = y - s.a.y - t * s.chord.y - bow * s.chord.x;
        let thin = 1.0 / max(s.width, 0.8 * w);
        let k = max(1.0 - (dx * dx + dy * dy) * (thin * thin), vec4f()) * (1.0 - t * t * t);
        left *= 1.0 - (s.depth * s.width * thin) * k;
    }
    return left;
}

// A pixel's place: q on the picture, f on the upright face's plane, flat on the head turned back, round over the head's
// outline (of length 1 there), the depth z, the distance to the outline.
struct Spot { q: vec2f, f: vec2f, flat: vec2f, round: vec2f, z: f32, edge: f32 }

// The head is an egg with a jaw.
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

// The light that a surface scatters. Skin lets it wrap around, red farthest.
fn light(look: Look, normal: vec3f) -> vec3f {
    let wrap = vec3f(0.40, 0.28, 0.25);
    let diffuse = (dot(normal, look.light.xyz) + wrap) / (1.0 + wrap);
    return look.light.w + look.glow.rgb * clamp(diffuse, vec3f(), vec3f(1.0));
}

// Strands that fall from the parting, or curls: contours of noise.
fn hair_colour(look: Look, f: vec2f, normal: vec3f) -> vec3f {
    let strand = abs(f.x - 0.3 * look.locks.y) / max(1.45 - f.y, 0.2);
    let grain = cloud(mix(vec2f(strand * 34.0, f.y * 1.5), f * 8.0, look.hair.w));
    let texture = mix(grain, 0.25 + 0.5 * abs(2.0 * fract(2.5 * grain) - 1.0), look.hair.w);
    let gloss = max(0.05 - 0.45 * (normal.y - 0.55) * (normal.y - 0.55), 0.0) * texture;
    return (look.hair.rgb * (0.45 + 0.8 * texture) + gloss) * light(look, normal);
}

// The skin's own colour at p: blush, freckles, creases, nostrils.
fn skin_colour(look: Look, p: vec2f, w: f32, left: f32) -> vec3f {
    let u = vec2f(abs(p.x), p.y);
    let flush = 4.0 * (u - look.cheek.xy);
    var albedo = look.skin.rgb * (1.0 - vec3f(0.0, 0.14, 0.10) * max(1.0 - dot(flush, flush), 0.0));
    let cell = floor(p * 24.0);
    let freckle = length(p * 24.0 - cell - 0.5) - 0.5 + lattice(vec2i(cell)) + 0.6 * abs(u.y + 0.2);
    albedo *= 1.0 - vec3f(0.20, 0.38, 0.45) * (look.skin.w * cover(freckle, max(24.0 * w, 0.3)));
    albedo *= 1.0 - vec3f(0.75, 0.95, 0.95) * (1.0 - left);
    let hole = (u - look.nostril.xy) / look.nostril.zw;
    return albedo * (1.0 - 0.85 * cover((length(hole) - 1.0) * look.nostril.w, max(w, 0.02)));
}

// Background, the hair behind, neck and clothes, ears; reach is 1 where the hair ends.
fn scene(look: Look, s: Spot, w: f32, mane: vec3f, reach: f32) -> vec3f {
    var colour = mix(look.back.rgb, look.fore.rgb, cloud(s.q * look.back.w + look.fore.w));
    let hem = vec2f((reach - 1.0) * look.head.x, -look.style.y - s.f.y) + 0.12;
    let hair = length(max(hem, vec2f())) + min(max(hem.x, hem.y), 0.0) - 0.12;
    colour = mix(colour, mane * 0.6, cover(hair, w));
    let body = light(look, normalize(vec3f(1.2 * s.f.x, 0.1, 0.7)));
    let throat = look.skin.rgb * body * (0.45 + clamp(1.4 * s.edge, 0.0, 0.55));
    let neck = abs(s.f.x - 0.25 * look.turn.y) - 0.42 - 4.0 * pow(max(-1.0 - s.f.y, 0.0), 2.0);
    colour = mix(colour, throat, cover(max(neck, s.f.y + 0.4), w));
    colour = mix(colour, look.cloth.rgb * body, cover(s.f.y + 1.16 - 0.16 * s.f.x * s.f.x, w));
    let side = abs(s.f.x + 0.15 * look.turn.y) - 0.98 * look.head.x * look.turn.x;
    let lobe = vec2f(side, s.f.y + 0.06 + 0.3 * look.turn.w) / (vec2f(0.10, 0.19) * look.head.w);
    let ear = look.skin.rgb * vec3f(0.95, 0.78, 0.75) * (0.6 + 0.4 * dot(lobe, lobe)) * body;
    return mix(colour, ear, cover((length(lobe) - 1.0) * 0.12, w));
}

// One pixel with the relief and creases of the point p of the face that the relief moves here, packed.
fn paint(look: Look, s: Spot, p: vec2f, w: f32, relief: vec3f, left: f32) -> u32 {
    let spread = vec2f(s.f.x, max(s.f.y, 0.0)) / (look.head.xy * (1.0 + vec2f(1.0, 1.2) * look.style.x));
    let reach = length(spread);
    let mane = hair_colour(look, s.f, normalize(vec3f(spread, sqrt(max(1.0 - reach * reach, 0.0)) + 0.1)));
    let depth = 1.4 * s.z + 0.05;
    let tilt = vec2f(select(-relief.y, relief.y, p.x >= 0.0), relief.z);
    let normal = normalize(vec3f(vec2f(1.4, 1.0) * s.round - tilt * depth, depth));
    var face = skin_colour(look, p, w, left) * clamp(1.0 + 5.0 * relief.x, 0.65, 1.0) * light(look, normal);
    let mirror = pow(max(dot(normal, look.mirror.xyz), 0.0), 16.0);
    face += look.glow.rgb * (look.skin.rgb + 0.15) * (look.glow.w * mirror);
    // The hair line falls towards the sides; a fringe hangs below it in locks, to either side of the parting.
    let over = s.flat.x / look.head.x;
    let apart = abs(over - 0.3 * look.locks.y);
    let locks = abs(fract(2.7 * apart + 0.3) - 0.5) + 0.4 * abs(fract(7.1 * apart) - 0.5);
    let side = over * over;
    let far = look.cloth.w * pow(side, 4.0);
    let fall = side * (look.style.w * (0.3 + 0.7 * side) + far);
    let steep = over / look.head.x * (look.style.w * (0.6 + 2.8 * side) + 10.0 * far);
    let line = look.style.z - fall - look.locks.x * (0.20 + 0.30 * locks) * min(0.3 + 4.0 * apart, 1.0);
    face = mix(face, mane, cover((line - s.flat.y) / length(vec2f(1.0, steep)), w) * step(0.001, look.style.x));
    let colour = mix(scene(look, s, w, mane, reach), face, cover(s.edge, w));
    return pack4x8unorm(vec4f(sqrt(max(colour, vec3f())), 0.0));
}

@compute @workgroup_size(64)
fn face_skin(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    // No early return: a software adapter reads what its lanes share at once only where all of them surely run.
    let task = group.x + group.y * groups.x;
    let n = min(task / params.tiles, params.count - 1u);
    let first = ((task % params.tiles) * 64u + lane) * 4u;
    let look = drawings[n].look;
    let w = 2.0 / f32(params.size) * length(look.place.xy) * (1.0 + look.camera.x);
    let a = spot(look, first);
    let b = spot(look, first + 1u);
    let c = spot(look, first + 2u);
    let d = spot(look, first + 3u);
    var x = vec4f(a.flat.x, b.flat.x, c.flat.x, d.flat.x);
    var y = vec4f(a.flat.y, b.flat.y, c.flat.y, d.flat.y);
    let nose = relief(n, abs(x), y, 3u)[0];
    x -= nose * look.turn.y;
    y -= nose * look.turn.w;
    let r = relief(n, abs(x), y, 13u);
    let left = creases(n, abs(x), y, w);
    let rgb = vec4u(
        paint(look, a, vec2f(x.x, y.x), w, vec3f(r[0].x, r[1].x, r[2].x), left.x),
        paint(look, b, vec2f(x.y, y.y), w, vec3f(r[0].y, r[1].y, r[2].y), left.y),
        paint(look, c, vec2f(x.z, y.z), w, vec3f(r[0].z, r[1].z, r[2].z), left.z),
        paint(look, d, vec2f(x.w, y.w), w, vec3f(r[0].w, r[1].w, r[2].w), left.w),
    );
    if task / params.tiles < params.count && first < params.size * params.size {
        let word = (n * params.size * params.size + first) / 4u * 3u;
        pixels[word] = rgb.x | (rgb.y << 24u);
        pixels[word + 1u] = (rgb.y >> 8u) | (rgb.z << 16u);
        pixels[word + 2u] = (rgb.z >> 16u) | (rgb.w << 8u);
    }
}
