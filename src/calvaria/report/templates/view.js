// The 3-D view: unpacks the meshes of the page and draws them with three.js, only when something changes.
"use strict";
(() => {
  const host = document.getElementById("viewer");
  const data = JSON.parse(document.getElementById("view-data").textContent);
  const stage = host.querySelector(".canvas");
  const form = host.querySelector("form");
  const status = host.querySelector("[role=status]");
  const LOOKS = { front: [0, 1, 0], back: [0, -1, 0], right: [1, 0, 0], left: [-1, 0, 0], top: [0, -0.001, 1] };
  // From blue over grey to orange, which people with any colour vision can tell apart.
  const STOPS = [[0, [0, 72, 140]], [0.25, [86, 160, 210]], [0.5, [236, 236, 232]], [0.75, [240, 160, 60]], [1, [165, 62, 0]]];

  async function bytes(text) {
    const packed = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  function sums(values, start, end) {
    // Typed arrays wrap, as the differences did.
    for (let i = start + 1; i < end; i++) values[i] += values[i - 1];
  }

  async function geometry(mesh) {
    const columns = new Int16Array(await bytes(mesh.points));
    const count = columns.length / 3;
    const positions = new Float32Array(columns.length);
    for (let axis = 0; axis < 3; axis++) {
      sums(columns, axis * count, (axis + 1) * count);
      for (let i = 0; i < count; i++) positions[3 * i + axis] = columns[axis * count + i] * data.step_mm;
    }
    const raw = await bytes(mesh.triangles);
    const corners = mesh.bytes === 2 ? new Uint16Array(raw) : new Uint32Array(raw);
    sums(corners, 0, corners.length);
    const made = new THREE.BufferGeometry();
    made.setAttribute("position", new THREE.BufferAttribute(positions, 3));
    made.setIndex(new THREE.BufferAttribute(corners, 1));
    made.computeVertexNormals();
    if (mesh.distances) {
      const apart = new Int16Array(await bytes(mesh.distances));
      const colours = new Float32Array(3 * count);
      const colour = new THREE.Color();
      apart.forEach((steps, i) => {
        const [r, g, b] = shade(steps * data.distance_mm);
        colour.setRGB(r / 255, g / 255, b / 255, "srgb").toArray(colours, 3 * i);
      });
      made.setAttribute("color", new THREE.BufferAttribute(colours, 3));
    }
    return made;
  }

  function shade(mm) {
    const place = Math.min(1, Math.max(0, 0.5 + mm / data.scale_mm / 2));
    const after = Math.max(1, STOPS.findIndex(([stop]) => stop >= place));
    const [[low, from], [high, to]] = [STOPS[after - 1], STOPS[after]];
    return from.map((value, i) => value + ((to[i] - value) * (place - low)) / (high - low));
  }

  function begin() {
    const renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
    const canvas = renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    const scene = new THREE.Scene();
    const camera = new THREE.PerspectiveCamera(28, 1, 50, 2000);
    camera.up.set(0, 0, 1);
    const controls = new THREE.OrbitControls(camera, canvas);
    controls.enablePan = false;
    controls.enableZoom = false; // until the view has the focus, so that the page can be scrolled
    controls.minDistance = 150;
    controls.maxDistance = 1000;
    scene.add(new THREE.HemisphereLight(0xffffff, 0x8a7f70, 1.5));
    const lamp = new THREE.DirectionalLight(0xffffff, 2.1);
    lamp.position.set(-120, 150, 260);
    camera.add(lamp);
    scene.add(camera);
    const material = (colour) =>
      new THREE.MeshStandardMaterial({ color: colour, roughness: 0.75, side: THREE.DoubleSide });
    const parts = { bone: new THREE.Mesh(), truth: new THREE.Mesh(), predicted: new THREE.Mesh() };
    parts.bone.material = material("#efe5ce");
    parts.truth.material = material("#0072b2");
    parts.predicted.material = material("#e68200");
    for (const part of Object.values(parts)) {
      part.visible = false;
      scene.add(part);
    }

    let waiting = 0;
    const draw = () => {
      waiting ||= requestAnimationFrame(() => {
        waiting = 0;
        renderer.render(scene, camera);
      });
    };
    const fit = () => {
      const { width, height } = stage.getBoundingClientRect();
      if (!width || !height) return;
      renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
      renderer.setSize(width, height, false);
      camera.aspect = width / height;
      camera.updateProjectionMatrix();
      draw();
    };
    const look = (way) => {
      const narrow = Math.max(1, 1 / camera.aspect);
      camera.position.set(...way).normalize().multiplyScalar(480 * narrow);
      controls.target.set(0, 0, 0);
      controls.update();
      draw();
    };
    const turn = (across, up) => {
      const [x, y, z] = camera.position.toArray();
      const reach = camera.position.length();
      const azimuth = Math.atan2(y, x) + across;
      const height = Math.min(1.5, Math.max(-1.5, Math.asin(z / reach) + up));
      const flat = reach * Math.cos(height);
      camera.position.set(flat * Math.cos(azimuth), flat * Math.sin(azimuth), reach * Math.sin(height));
      controls.update();
    };
    const zoom = (factor) => {
      const reach = Math.min(controls.maxDistance, Math.max(controls.minDistance, camera.position.length() * factor));
      camera.position.setLength(reach);
      controls.update();
    };

    const chosen = () => data.cases[form.elements.case.value];
    const known = new Map(); // geometries that were unpacked, by their packed form
    const unpacked = (mesh) => {
      if (!known.has(mesh)) known.set(mesh, geometry(mesh));
      return known.get(mesh);
    };
    let asked = 0;
    async function show() {
      const one = chosen();
      const arm = form.elements.arm.value;
      const found = one.predicted[arm];
      const turnOf = ++asked;
      host.dataset.state = "loading";
      const meshes = { bone: one.bone, truth: one.truth, predicted: found.mesh };
      const made = {};
      for (const [name, mesh] of Object.entries(meshes)) made[name] = mesh && (await unpacked(mesh));
      if (turnOf !== asked) return; // something else was chosen meanwhile
      const ticked = (name) => form.elements[name].checked;
      for (const [name, part] of Object.entries(parts)) {
        part.visible = Boolean(made[name]) && ticked(name);
        if (made[name]) part.geometry = made[name];
      }
      const coloured = ticked("coloured") && parts.predicted.visible;
      parts.predicted.material.vertexColors = coloured;
      parts.predicted.material.color.set(coloured ? "#ffffff" : "#e68200");
      parts.predicted.material.needsUpdate = true;
      see(parts.bone.material, ticked("glass") ? 0.28 : 1);
      see(parts.truth.material, parts.predicted.visible ? 0.45 : 1);
      host.querySelector(".scale").style.visibility = coloured ? "visible" : "hidden";
      status.textContent = `${arm}: ${found.text}`;
      canvas.setAttribute("aria-label", `${one.name}. ${arm}: ${found.text} Arrow keys rotate, plus and minus zoom.`);
      renderer.render(scene, camera);
      host.dataset.state = "drawn";
    }
    const see = (of, opacity) => {
      of.opacity = opacity;
      of.transparent = opacity < 1;
      of.depthWrite = opacity === 1;
      of.needsUpdate = true;
    };

    stage.append(canvas);
    form.hidden = false;
    host.querySelector(".scale").hidden = false;
    host.classList.add("live");
    controls.addEventListener("change", draw);
    canvas.addEventListener("pointerdown", () => canvas.focus());
    canvas.addEventListener("focus", () => (controls.enableZoom = true));
    canvas.addEventListener("blur", () => (controls.enableZoom = false));
    canvas.addEventListener("keydown", (event) => {
      const step = Math.PI / 24;
      const ways = {
        ArrowLeft: () => turn(-step, 0), ArrowRight: () => turn(step, 0),
        ArrowUp: () => turn(0, step), ArrowDown: () => turn(0, -step),
        "+": () => zoom(0.9), "=": () => zoom(0.9), "-": () => zoom(1 / 0.9),
      };
      if (!ways[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      ways[event.key]();
    });
    for (const button of form.querySelectorAll("[data-look]"))
      button.addEventListener("click", () => look(LOOKS[button.dataset.look] ?? chosen().towards));
    form.addEventListener("change", async (event) => {
      if (event.target.name === "case") look(chosen().towards);
      await show();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    new ResizeObserver(fit).observe(stage);
    fit();
    look(chosen().towards);
    return show();
  }

  // Nothing is unpacked before the view comes near.
  new IntersectionObserver(async (seen, observer) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    try {
      await begin();
    } catch (error) {
      // The still picture stays, and says why.
      host.classList.remove("live");
      form.hidden = true;
      host.querySelector(".scale").hidden = true;
      host.dataset.state = "still";
      document.getElementById("view-fault").append(` (${error.message})`);
    }
  }, { rootMargin: "600px" }).observe(host);
})();
