"use strict";
(async () => {
  const element = (id) => document.getElementById(id);
  const info = JSON.parse(element("info").textContent);
  const [height, width, channels] = info.image;
  const values = height * width * channels;
  const FRAMES = 9; // pictures in a strip

  // The module and the program are compressed; the bytes of words lie in planes, which compress better.
  const inflate = async (id) => {
    const bytes = Uint8Array.from(atob(element(id).textContent.trim()), (c) => c.charCodeAt(0));
    element(id).remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const [module, planes] = await Promise.all([inflate("module"), inflate("program")]);
  const { instance } = await WebAssembly.instantiate(module, {});
  const wasm = instance.exports;
  {
    const count = planes.length / 4;
    const start = wasm.program_words(count);
    const words = new Uint8Array(wasm.memory.buffer, start, planes.length);
    for (let plane = 0; plane < 4; plane++)
      for (let i = 0; i < count; i++) words[4 * i + plane] = planes[plane * count + i];
    if (!wasm.load()) throw new Error("the model in this page is damaged");
  }
  const run = (work, numbers, count) => {
    const start = wasm.input(numbers.length);
    new Float32Array(wasm.memory.buffer, start, numbers.length).set(numbers);
    const result = work();
    // A copy, because the next call uses the memory again.
    return new Float32Array(wasm.memory.buffer, result, count).slice();
  };
  /** Images [B, H, W, C] in [0, 1] of codes [B, D]. */
  const decode = (z) => run(wasm.decode, z, (z.length / info.latents) * values);
  /** Means and log-variances [B, 2 D] of images [B, H, W, C] in [0, 1]. */
  const encode = (pixels) => run(wasm.encode, pixels, (pixels.length / values) * 2 * info.latents);

  const draw = (canvas, pixels, start = 0) => {
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++)
        image.data[4 * i + c] = Math.round(255 * pixels[start + i * channels + Math.min(c, channels - 1)]);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };

  const z = new Float32Array(info.latents);
  const rows = [];
  const ends = { a: null, b: null };
  const say = (text) => { element("status").textContent = text; };

  // One picture per frame of the screen, however many events there are; strips in the time left over.
  let wanted = false;
  let stale = [];
  const visible = new Set();
  const frame = () => {
    wanted = false;
    const start = performance.now();
    draw(element("image"), decode(z));
    for (const row of rows) row.show();
    stale = rows.filter((row) => visible.has(row.strip));
    setTimeout(strips, 120 + 2 * (performance.now() - start));
  };
  const redraw = () => {
    stale = [];
    if (!wanted) requestAnimationFrame(frame);
    wanted = true;
  };
  const strips = () => {
    const start = performance.now();
    while (stale.length && performance.now() - start < 10) stale.shift().drawStrip();
    if (stale.length) setTimeout(strips, 0);
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else visible.delete(target);
      const row = rows.find((row) => row.strip === target);
      if (isIntersecting && row && !row.drawn && !stale.includes(row)) stale.push(row);
    }
    setTimeout(strips, 0);
  }, { rootMargin: "200px" });
  const set = (code) => {
    z.set(code);
    redraw();
  };

  const addRow = (d, parent) => {
    const box = document.createElement("div");
    box.className = "latent";
    const kl = info.kl.length ? `KL ${info.kl[d].toFixed(2)}` : "";
    box.innerHTML =
      `<div class="row"><label for="z${d}">z${d}</label><span class="kl" title="KL of this latent in nats">${kl}</span>` +
      `<span class="track"><span></span><input id="z${d}" type="range" min="${-info.range}" max="${info.range}" step="0.01" value="0"></span>` +
      `<input type="number" step="0.1" value="0" aria-label="Value of z${d}"></div><div class="strip"></div>`;
    const [area, slider] = [box.querySelector(".track span"), box.querySelector("input[type=range]")];
    const number = box.querySelector("input[type=number]");
    if (info.codes) {
      const place = (x) => 50 + (50 * Math.max(-info.range, Math.min(info.range, x))) / info.range;
      const [mean, deviation] = [info.codes.mean[d], info.codes.deviation[d]];
      area.style.left = `${place(mean - 2 * deviation)}%`;
      area.style.right = `${100 - place(mean + 2 * deviation)}%`;
      box.title = `Means of the data's posteriors: ${mean.toFixed(2)} ± ${deviation.toFixed(2)}; ` +
        `a posterior's own deviation: ${info.codes.spread[d].toFixed(2)}`;
    }
    slider.addEventListener("input", () => { z[d] = slider.valueAsNumber; redraw(); });
    number.addEventListener("input", () => {
      if (Number.isFinite(number.valueAsNumber)) { z[d] = number.valueAsNumber; redraw(); }
    });
    const strip = box.querySelector(".strip");
    strip.style.gridTemplateColumns = `repeat(${FRAMES}, 1fr)`;
    const places = Array.from({ length: FRAMES }, (_, i) => info.range * ((2 * i) / (FRAMES - 1) - 1));
    const pictures = places.map((place) => {
      const button = document.createElement("button");
      button.setAttribute("aria-label", `z${d} = ${place.toFixed(2)}`);
      button.title = `z${d} = ${place.toFixed(2)}`;
      button.tabIndex = -1; // the slider reaches the same values
      button.addEventListener("click", () => { z[d] = place; redraw(); });
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      button.append(canvas);
      strip.append(button);
      return canvas;
    });
    const row = {
      d, strip, drawn: false,
      show() {
        row.drawn = false;
        slider.value = z[d];
        slider.setAttribute("aria-valuetext", z[d].toFixed(2));
        if (document.activeElement !== number) number.value = z[d].toFixed(2);
      },
      drawStrip() {
        const codes = new Float32Array(FRAMES * info.latents);
        places.forEach((place, i) => {
          codes.set(z, i * info.latents);
          codes[i * info.latents + d] = place;
        });
        const images = decode(codes);
        pictures.forEach((canvas, i) => draw(canvas, images, i * values));
        row.drawn = true;
      },
    };
    rows.push(row);
    parent.append(box);
    seen.observe(strip);
  };
  // Latents that carry nothing are at the end and folded away.
  const used = info.order.filter((d) => !info.kl.length || info.kl[d] > info.active);
  const unused = info.order.filter((d) => !used.includes(d));
  used.forEach((d) => addRow(d, element("latents")));
  if (unused.length) {
    const details = element("unused");
    details.hidden = false;
    details.open = used.length === 0;
    details.querySelector("summary").textContent =
      `${unused.length} latents carry less than ${info.active} nats: moving them changes next to nothing`;
    unused.forEach((d) => addRow(d, details.querySelector("div")));
  }

  // Images in.
  const encodeImage = (pixels, name) => {
    const code = encode(pixels);
    draw(element("original"), pixels);
    element("original-figure").hidden = false;
    set(code.subarray(0, info.latents));
    say(`${name}: the sliders show its posterior mean`);
  };
  /** Cuts the middle out of a picture and brings it to the model's size and channels. */
  const pixelsOf = (picture) => {
    const [w, h] = [picture.width, picture.height];
    const scale = Math.min(w / width, h / height);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingQuality = "high";
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, (w - width * scale) / 2, (h - height * scale) / 2, width * scale, height * scale, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const pixels = new Float32Array(values);
    for (let i = 0; i < width * height; i++) {
      const rgb = [0, 1, 2].map((c) => data[4 * i + c] / 255);
      const grey = 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
      for (let c = 0; c < channels; c++) pixels[i * channels + c] = channels === 3 ? rgb[c] : grey;
    }
    return pixels;
  };
  const encodeFile = async (file) => {
    try {
      encodeImage(pixelsOf(await createImageBitmap(file)), file.name);
    } catch {
      say(`${file.name} is not an image this browser can read`);
    }
  };
  element("file").addEventListener("change", (event) => {
    if (event.target.files.length) encodeFile(event.target.files[0]);
  });
  for (const kind of ["dragover", "dragenter"])
    addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("over"); });
  for (const kind of ["dragleave", "drop"])
    addEventListener(kind, () => document.body.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) encodeFile(event.dataTransfer.files[0]);
  });
  if (info.examples) {
    const sheet = new Image();
    sheet.src = info.examples.sheet;
    await sheet.decode();
    for (let i = 0; i < info.examples.count; i++) {
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      canvas.getContext("2d").drawImage(sheet, 0, -i * height);
      const button = document.createElement("button");
      button.setAttribute("aria-label", `Encode image ${info.examples.indices[i]} of the data set`);
      button.append(canvas);
      button.addEventListener("click", () => encodeImage(pixelsOf(canvas), `image ${info.examples.indices[i]}`));
      element("examples").append(button);
    }
  }

  // Codes out, and ways through the latent space.
  const zero = () => { set(new Float32Array(info.latents)); say("the mean of the prior"); };
  const random = () => {
    // Box and Muller.
    const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    set(Float32Array.from({ length: info.latents }, normal));
    say("a draw from the prior");
  };
  const code = () => JSON.stringify({ z: Array.from(z, (x) => Number(x.toFixed(6))) });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code());
      say("copied the code as JSON");
    } catch {
      say(code());
    }
  };
  const keep = (end) => {
    ends[end] = Float32Array.from(z);
    draw(element(`image-${end}`), decode(z));
    element("between").disabled = !(ends.a && ends.b);
    element("between").value = end === "a" ? 0 : 1;
    say(ends.a && ends.b ? "move the slider between A and B" : `kept as ${end.toUpperCase()}; now choose the other end`);
  };
  element("between").addEventListener("input", ({ target }) => {
    const t = target.valueAsNumber;
    set(ends.a.map((a, d) => a + t * (ends.b[d] - a)));
  });
  element("zero").addEventListener("click", zero);
  element("random").addEventListener("click", random);
  element("copy").addEventListener("click", copy);
  element("keep-a").addEventListener("click", () => keep("a"));
  element("keep-b").addEventListener("click", () => keep("b"));
  addEventListener("keydown", (event) => {
    const typing = event.target.matches("input[type=number]") || event.ctrlKey || event.metaKey || event.altKey;
    const action = { 0: zero, r: random, c: copy }[event.key];
    if (action && !typing) action();
  });

  element("about").textContent = info.about;
  say("move a slider, choose an image, or drop one here");
  redraw();
  // For programs: the same functions the page uses.
  window.betavae = { info, decode, encode, set, code: () => Array.from(z) };
})().catch((error) => {
  document.getElementById("status").textContent = `This browser cannot show the model: ${error.message}`;
});
