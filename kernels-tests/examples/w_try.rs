use kinesic::gpu::Shader;
use kinesic::kernels::{Access, Bound, Call, conv};
use std::time::Instant;

fn cpu() -> f64 {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|t| {
            std::fs::read_to_string(t.unwrap().path().join("schedstat"))
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        })
        .sum::<f64>()
        / 1e9
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // kind n h c k r stride rounds file...
    let kind = args[0].as_str();
    let v: Vec<usize> = args[1..8].iter().map(|a| a.parse().unwrap()).collect();
    let [n, h, c, k, r, stride, rounds] = v[..] else {
        panic!()
    };
    let shape = conv::Conv2dShape {
        n,
        h,
        w: h,
        c,
        k,
        r,
        s: r,
        stride: [stride; 2],
        padding: [r / 2; 2],
    };
    let call = match kind {
        "gwp" => conv::WinogradGradWeight::new(shape)
            .unwrap()
            .calls()
            .unwrap()[2]
            .clone(),
        "gwf" => conv::WinogradGradWeight::new(shape)
            .unwrap()
            .calls()
            .unwrap()[3]
            .clone(),
        "gwy" => conv::WinogradGradWeight::new(shape)
            .unwrap()
            .calls()
            .unwrap()[1]
            .clone(),
        "win" => conv::WinogradGradWeight::new(shape)
            .unwrap()
            .calls()
            .unwrap()[0]
            .clone(),
        "fwp" => conv::Winograd::forward(shape, Default::default())
            .unwrap()
            .calls()
            .unwrap()[1]
            .clone(),
        "fwf" => conv::Winograd::forward(shape, Default::default())
            .unwrap()
            .filter()
            .unwrap(),
        "gip" => conv::WinogradGradInput::new(shape, Default::default())
            .unwrap()
            .calls()
            .unwrap()[1]
            .clone(),
        "gio" => conv::WinogradGradInput::new(
            shape,
            conv::GradInputEpilogue {
                mask: true,
                ..Default::default()
            },
        )
        .unwrap()
        .calls()
        .unwrap()[2]
            .clone(),
        "gw" => conv::Conv2dGradWeight::new(shape, true).calls().unwrap()[0].clone(),
        "gi" => conv::Conv2dGradInput::new(shape, true).call().unwrap(),
        "fw" => conv::Conv2dForward::new(shape, true).call().unwrap(),
        _ => panic!(),
    };
    let gpu = kernels_tests::harness::gpu();
    let mut calls: Vec<(String, Call)> = vec![("base".into(), call.clone())];
    for file in &args[8..] {
        let (path, flags) = file.split_once(':').unwrap_or((file, ""));
        let source: &'static str =
            Box::leak(std::fs::read_to_string(path).unwrap().into_boxed_str());
        let mut other = call.clone();
        let name: &'static str = call.shader.name;
        other.shader = Shader { name, source };
        for flag in flags.split(',').filter(|f| !f.is_empty()) {
            let (key, value) = flag.split_once('=').unwrap();
            let key: &'static str = Box::leak(key.to_owned().into_boxed_str());
            if let Some(axis) = key.strip_prefix("wg") {
                let (num, den) = value.split_once('/').unwrap_or((value, "1"));
                let axis: usize = axis.parse().unwrap();
                other.workgroups[axis] = (other.workgroups[axis] * num.parse::<u32>().unwrap())
                    .div_ceil(den.parse().unwrap());
            } else if let Some(word) = key.strip_prefix("p") {
                let word: usize = word.parse().unwrap();
                let (num, den) = value.split_once('/').unwrap_or((value, "1"));
                let old: u32 = *bytemuck::from_bytes(&other.params[4 * word..4 * word + 4]);
                let new = (old * num.parse::<u32>().unwrap()).div_ceil(den.parse().unwrap());
                other.params[4 * word..4 * word + 4].copy_from_slice(&new.to_ne_bytes());
            } else if let Ok(value) = value.parse::<i64>() {
                other.variant = other.variant.set(key, value);
            } else {
                other.variant = other.variant.set(key, value == "true");
            }
        }
        calls.push((file.clone(), other));
    }
    println!("{:?} {} {:?}", shape, call.variant, call.workgroups);
    gpu.block_on(async {
        let mut bound = Vec::new();
        let mut results: Vec<Vec<f32>> = Vec::new();
        for (label, call) in &calls {
            let mut buffers = Vec::new();
            for extent in &call.extents {
                let len = (extent.bytes.max(64)) as usize / 4;
                let buffer = gpu.storage(extent.name, 4 * len as u64).await.unwrap();
                if extent.access != Access::Write {
                    let mut seed = 12345u32;
                    let values: Vec<f32> = (0..len)
                        .map(|_| {
                            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
                        })
                        .collect();
                    gpu.queue
                        .write_buffer(&buffer, 0, bytemuck::cast_slice(&values));
                }
                buffers.push(buffer);
            }
            let usage =
                kinesic::wgpu::BufferUsages::UNIFORM | kinesic::wgpu::BufferUsages::COPY_DST;
            let params = gpu
                .buffer(
                    "params",
                    (call.params.len() as u64).next_multiple_of(16),
                    usage,
                )
                .await
                .unwrap();
            gpu.queue.write_buffer(&params, 0, &call.params);
            let bindings: Vec<_> = buffers
                .iter()
                .map(|b| b.as_entire_buffer_binding())
                .collect();
            let pb = params.as_entire_buffer_binding();
            let t = Instant::now();
            let b = Bound::new(gpu, call, pb, &bindings).await.unwrap();
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            b.record(&mut encoder.begin_compute_pass(&Default::default()));
            gpu.queue.submit([encoder.finish()]);
            gpu.wait().unwrap();
            println!("  first {label}: {:.2} s", t.elapsed().as_secs_f64());
            let out = call
                .extents
                .iter()
                .position(|e| e.access == Access::Write)
                .unwrap();
            let bytes = gpu
                .read(&buffers[out], 0, call.extents[out].bytes)
                .await
                .unwrap();
            results.push(bytemuck::cast_slice(&bytes).to_vec());
            bound.push(b);
            std::mem::forget(buffers);
            std::mem::forget(params);
        }
        for (r, (label, _)) in results.iter().zip(&calls).skip(1) {
            let diff = r
                .iter()
                .zip(&results[0])
                .map(|(a, b)| (a - b).abs())
                .fold(0f32, |m, d| if d.is_nan() { f32::NAN } else { m.max(d) });
            println!("  {label}: largest difference {diff}");
        }
        let mut times = vec![Vec::new(); bound.len()];
        for _ in 0..rounds {
            for (b, times) in bound.iter().zip(&mut times) {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                {
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    for _ in 0..3 {
                        b.record(&mut pass);
                    }
                }
                let commands = encoder.finish();
                let t = cpu();
                gpu.queue.submit([commands]);
                gpu.wait().unwrap();
                times.push((cpu() - t) * 1e3 / 6.0);
            }
        }
        for ((label, call), times) in calls.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            println!(
                "  {label:60} min {:8.3} ms  median {:8.3}  {:6.1} GFLOP/s",
                times[0],
                times[times.len() / 2],
                call.flops as f64 / times[0] / 1e6
            );
        }
        Ok::<(), kinesic::kernels::KernelError>(())
    })
    .unwrap();
}
