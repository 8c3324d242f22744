// Compiles kinesic's kernels with Dawn, the WebGPU of Chromium: its WGSL compiler is not naga, and what one accepts the other may not.
//
//     cargo run --release -p kinesic-inspector -- --dump target/wgsl
//     npm ci --ignore-scripts --prefix tools/dawn
//     node tools/dawn/check.mjs target/wgsl
//
// The device has WebGPU's default limits and no feature but those that a variant names. Exit code 0 when all compile, 1 when
// one does not, 2 without an adapter or texts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

function fail(message) {
  console.error(`dawn: ${message}`);
  process.exit(2);
}

/** The list of the inspector's --dump, with the texts. */
function read(folder) {
  try {
    const list = JSON.parse(readFileSync(join(folder, "kernels.json"), "utf8"));
    return list.map((it) => ({ ...it, text: readFileSync(join(folder, it.file), "utf8") }));
  } catch (error) {
    return fail(`${error.message}; cargo run --release -p kinesic-inspector -- --dump ${folder} writes it`);
  }
}

/** Compiles one variant; what Dawn says against it, or nothing. */
async function compile(device, { kernel, text, constants }) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: text });
  const info = await module.getCompilationInfo();
  const errors = [...info.messages].filter((it) => it.type === "error");
  let refused = errors.map((it) => `${it.lineNum}:${it.linePos} ${it.message}`).join("\n");
  if (!refused) {
    const compute = { module, entryPoint: kernel, constants };
    try {
      await device.createComputePipelineAsync({ layout: "auto", compute });
    } catch (error) {
      refused = error.message;
    }
  }
  const scope = await device.popErrorScope();
  return refused || scope?.message;
}

const folder = process.argv[2] ?? fail("say the folder of the inspector's --dump");
const variants = read(folder);
// Kept to the end: adapters and devices do not keep it, and Dawn hangs once it is collected.
const gpu = create([]);
const adapter = await gpu.requestAdapter();
if (!adapter) fail("no adapter: run tools/install-driver.sh");
// A device for each set of features, so that a variant is not given what it does not name.
const devices = new Map();
async function deviceWith(features) {
  const key = features.join();
  if (!devices.has(key)) {
    const fresh = await gpu.requestAdapter(); // an adapter gives one device
    devices.set(key, await fresh.requestDevice({ requiredFeatures: features }));
  }
  return devices.get(key);
}

const skipped = new Map();
let compiled = 0;
let failed = 0;
for (const variant of variants) {
  const lacking = variant.features.filter((it) => !adapter.features.has(it));
  if (lacking.length > 0) {
    // shader-int64 is wgpu's own: the kernels for software adapters, which no browser runs.
    const key = `${variant.kernel}: needs ${lacking.join(", ")}`;
    skipped.set(key, (skipped.get(key) ?? 0) + 1);
    continue;
  }
  const refused = await compile(await deviceWith(variant.features), variant);
  if (refused) {
    failed += 1;
    console.log(`FAILED ${variant.kernel}/${variant.variant}: ${refused}`);
  } else {
    compiled += 1;
  }
}
for (const [reason, count] of skipped) console.log(`skipped ${count} of ${reason}`);
console.log(`${compiled} variants compile with Dawn, ${failed} do not`);
if (compiled + failed === 0) fail("nothing was compiled");
// Dawn's own threads would keep the process alive.
process.exit(failed > 0 ? 1 : 0);
