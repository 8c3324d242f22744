// image_input: crops bytes by an affine map into activations.
//   y[n,v,u] = bytes / 127.5 - 1, interpolated bilinearly at (source x, source y) = matrix[n] · (u + ½, v + ½, 1) - ½
//   Beyond the border its pixels repeat. The fourth channel is 0.
//   GREY: one byte a pixel, and three equal channels.
// Layout: pixels [N,H,W,3] u8 (GREY [N,H,W]), four a word, the first in the lowest bits; matrices [N,2] vec4: a b c d, e f · ·
//         with source x = a u + b v + c and source y = d u + e v + f; y [N,height,width] vec4; count = N·height·width.
// Work:   an invocation does one pixel of y; invocations beyond the end do nothing.
// Needs:  default limits. Variants: f16 (shader-f16), GREY.

// only f16: enable f16;
alias Stored = f32; // only f32
// only f16: alias Stored = f16;

override GREY: bool = false;

struct Params { count: u32, h: u32, w: u32, height: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> pixels: array<u32>;
@group(0) @binding(2) var<storage, read_write> matrices: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Stored>>;

// The pixel at a position of an image, clamped to the border.
fn load(image: u32, position: vec2i) -> vec3f {
    let border = vec2i(i32(params.w), i32(params.h)) - 1;
    let at = vec2u(clamp(position, vec2i(), border));
    let pixel = (image * params.h + at.y) * params.w + at.x;
    if GREY {
        return vec3f(f32((pixels[pixel / 4u] >> (pixel % 4u * 8u)) & 0xFFu));
    }
    // Three bytes lie in one word or in two that follow each other.
    let byte = 3u * pixel;
    let shift = byte % 4u * 8u;
    let low = pixels[byte / 4u] >> shift;
    let high = select(0u, pixels[(byte + 2u) / 4u] << (32u - shift), shift > 8u);
    return vec3f(((vec3u(low | high) >> vec3u(0u, 8u, 16u)) & vec3u(0xFFu)));
}

@compute @workgroup_size(64)
fn image_input(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 64u + lane;
    if i >= params.count {
        return;
    }
    let row = i / params.width;
    let image = row / params.height;
    let u = f32(i - row * params.width) + 0.5;
    let v = f32(row - image * params.height) + 0.5;
    let m = matrices[2u * image];
    let rest = matrices[2u * image + 1u];
    let wanted = vec2f(m.x * u + m.y * v + m.z, m.w * u + rest.x * v + rest.y) - 0.5;
    // One pixel beyond the border is as good as any further one, and fits an i32.
    let source = clamp(wanted, vec2f(-1.0), vec2f(f32(params.w), f32(params.h)));
    let corner = floor(source);
    let share = source - corner;
    let at = vec2i(corner);
    let above = mix(load(image, at), load(image, at + vec2i(1, 0)), share.x);
    let below = mix(load(image, at + vec2i(0, 1)), load(image, at + vec2i(1, 1)), share.x);
    y[i] = vec4<Stored>(vec4f(mix(above, below, share.y) / 127.5 - 1.0, 0.0));
}
