#!/usr/bin/env python3
"""Compares `kinesic bench --mode infer` with ncnn's Vulkan backend on the same adapter, in one run.

Needs the packages `ncnn` and `numpy` of this Python, and a release build of kinesic:

    cargo build --release
    python3 tools/compare-ncnn.py --backbone resnet18 resnet50 --size 112 --rounds 3

Both run the same architecture in f32 with drawn weights (ncnn's with batch normalisation folded into the convolutions, as its
converter leaves it), one image a time, on Vulkan. Rounds alternate between the two, so that a busy machine slows both; the
medians over the rounds and their ratio are printed.
"""
import argparse, json, statistics, subprocess, tempfile, time
from pathlib import Path

import ncnn
import numpy as np


class Net:
    """Writes a ResNet as ncnn's .param text and .bin weights."""

    BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}

    def __init__(self, backbone, size):
        self.lines, self.blobs, self.weights, self.count = [], 0, bytearray(), 0
        self.random = np.random.default_rng(1)
        bottleneck = backbone == "resnet50"
        top = self.layer("Input", [], f"0={size} 1={size} 2=3", "data")
        top = self.conv(top, 3, 64, 7, 2, 3, relu=True)
        top = self.layer("Pooling", [top], "0=0 1=3 2=2 3=1 5=1")
        inside = 64
        for stage, blocks in enumerate(self.BLOCKS[backbone]):
            wide = 64 << stage
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                outside = wide * (4 if bottleneck else 1)
                top = self.block(top, inside, wide, outside, stride, bottleneck)
                inside = outside
        top = self.layer("Pooling", [top], "0=1 4=1")
        self.write(26, inside)
        self.layer("InnerProduct", [top], f"0=26 1=1 2={26 * inside}", "out")

    def block(self, x, inside, wide, outside, stride, bottleneck):
        a, b = self.layer("Split", [x], "", tops=2)
        if bottleneck:
            y = self.conv(a, inside, wide, 1, 1, 0, relu=True)
            y = self.conv(y, wide, wide, 3, stride, 1, relu=True)
            y = self.conv(y, wide, outside, 1, 1, 0)
        else:
            y = self.conv(a, inside, wide, 3, stride, 1, relu=True)
            y = self.conv(y, wide, outside, 3, 1, 1)
        if stride != 1 or inside != outside:
            b = self.conv(b, inside, outside, 1, stride, 0)
        return self.layer("ReLU", [self.layer("BinaryOp", [y, b], "0=0")], "")

    def conv(self, x, inside, outside, kernel, stride, pad, relu=False):
        size = inside * outside * kernel * kernel
        self.write(outside, inside * kernel * kernel)
        return self.layer("Convolution", [x], f"0={outside} 1={kernel} 3={stride} 4={pad} 5=1 6={size} 9={int(relu)}")

    def write(self, outside, fan):
        # A zero tag says f32; then the weights, then the biases.
        weights = self.random.standard_normal(outside * fan) * (1 / fan) ** 0.5
        self.weights += bytes(4) + weights.astype("<f4").tobytes() + np.zeros(outside, "<f4").tobytes()

    def layer(self, kind, bottoms, options, name=None, tops=1):
        self.count += 1
        outputs = [name or f"b{self.blobs + i}" for i in range(tops)]
        self.blobs += tops
        parts = [kind, f"l{self.count}", str(len(bottoms)), str(tops), *bottoms, *outputs, options]
        self.lines.append(" ".join(part for part in parts if part))
        return outputs if tops > 1 else outputs[0]

    def save(self, folder):
        param, binary = folder / "net.param", folder / "net.bin"
        param.write_text("\n".join(["7767517", f"{self.count} {self.blobs}", *self.lines]) + "\n")
        binary.write_bytes(self.weights)
        return param, binary


def load(backbone, size):
    net = ncnn.Net()
    net.opt.use_vulkan_compute = True
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    with tempfile.TemporaryDirectory() as folder:
        param, binary = Net(backbone, size).save(Path(folder))
        if net.load_param(str(param)) != 0 or net.load_model(str(binary)) != 0:
            raise SystemExit("ncnn refuses the network")
    return net


def images_per_second(net, size, seconds):
    image = ncnn.Mat(np.random.default_rng(2).standard_normal((3, size, size)).astype(np.float32))

    def run():
        extractor = net.create_extractor()
        extractor.input("data", image)
        status, out = extractor.extract("out")
        values = np.array(out)
        if status != 0 or values.size != 26 or not np.isfinite(values).all():
            raise SystemExit(f"ncnn gives no 26 numbers: {status}, {values}")

    run()
    times = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1 / statistics.median(times)


def kinesic(program, backbone, size, seconds):
    command = [program, "bench", "--backbone", backbone, "--size", str(size), "--batch", "1", "--mode", "infer",
               "--seconds", str(seconds), "--json", "-"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["images_per_second"], f"{report['adapter']}, {report['driver']} ({report['backend']})"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backbone", nargs="+", default=["resnet18", "resnet50"], choices=list(Net.BLOCKS))
    options.add_argument("--size", type=int, default=112)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=5.0, help="of measuring, each time")
    options.add_argument("--program", default="target/release/kinesic")
    options = options.parse_args()
    print(f"ncnn {ncnn.__version__} on {ncnn.get_gpu_info(ncnn.get_default_gpu_index()).device_name()}")
    for backbone in options.backbone:
        net = load(backbone, options.size)
        ours, theirs = [], []
        for _ in range(options.rounds):
            theirs.append(images_per_second(net, options.size, options.seconds))
            speed, adapter = kinesic(options.program, backbone, options.size, options.seconds)
            ours.append(speed)
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"kinesic on {adapter}\n{backbone} at {options.size}, batch 1, f32: kinesic {a:.2f}, ncnn {b:.2f} images/s, "
              f"{a / b:.2f} times ncnn ({options.rounds} rounds)")


if __name__ == "__main__":
    main()
