"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const make = (name, className, text) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };
  const plain = (name) => String(name).replaceAll("_", " ");

  // Heat maps: what a cell shows, and moving among cells with the arrows.
  const maps = by("maps");
  const showMaps = () => {
    maps.classList.toggle("scores", document.querySelector("input[name=heat]:checked").value === "score");
    maps.classList.toggle("with-ci", by("heat-ci").checked);
  };
  for (const input of document.querySelectorAll(".switch input")) input.addEventListener("change", showMaps);
  showMaps();
  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  maps.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    event.preventDefault();
    const rows = [...cell.closest("table").querySelectorAll("tbody tr")];
    const row = rows[rows.indexOf(cell.parentElement) + step[0]];
    row?.cells[cell.cellIndex + step[1]]?.querySelector("button")?.focus();
  });

  // Printing shows every table.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => { for (const part of closed) part.open = false; });

  // Examples are read when they are first needed; pictures one chunk at a time.
  let store = null;
  const data = () => (store ??= JSON.parse(by("data-examples").textContent));
  const chunks = new Map();
  const picture = (number) => {
    const { chunk } = data();
    const place = Math.floor(number / chunk);
    if (!chunks.has(place)) chunks.set(place, by(`pictures-${place}`).textContent.split("\n"));
    return `data:image/webp;base64,${chunks.get(place)[number % chunk]}`;
  };
  const seen = "IntersectionObserver" in window
    ? new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) { show(entry.target); seen.unobserve(entry.target); }
    }, { rootMargin: "400px" })
    : null;
  const show = (image) => { image.src = picture(Number(image.dataset.picture)); };
  const image = (number, words, lazy) => {
    const node = make("img");
    node.alt = words;
    node.decoding = "async";
    node.dataset.picture = number;
    if (lazy && seen) seen.observe(node); else show(node);
    return node;
  };

  const WORDS = { correct: "✓ right", partial: "≈ partly right", wrong: "✗ wrong", unresolved: "? unread" };
  const FAILED = new Set(["error", "missing"]);
  const verdictOf = (answer) => {
    if (!answer) return { kind: "none", words: "– not asked" };
    if (FAILED.has(answer.s)) return { kind: "none", words: answer.s === "missing" ? "– missing" : "– failed" };
    if (!answer.v) return { kind: "none", words: "– not graded" };
    const partly = answer.h > 0 && answer.h < 1 ? ` (${Math.round(answer.h * 100)} %)` : "";
    return { kind: answer.v, words: WORDS[answer.v] + partly };
  };
  const verdictNode = (answer) => {
    const { kind, words } = verdictOf(answer);
    return make("span", `verdict ${kind}`, words);
  };
  const isRight = (answer) => Boolean(answer) && answer.h >= 0.5;
  const base = (example) => example.s.clean ?? example.s.recoded;
  const hardest = (example) => Object.keys(example.s).at(-1);

  const filters = { text: by("f-text"), bench: by("f-bench"), category: by("f-category"), corruption: by("f-corruption"), level: by("f-level"), verdict: by("f-verdict"), run: by("f-run") };
  const list = by("list");
  const PAGE = 30;
  let found = [];
  let shown = 0;
  let open = -1;
  let ready = false;

  const fill = (select, options, any) => {
    select.replaceChildren();
    if (any) select.append(new Option(any, ""));
    for (const [value, label] of options) select.append(new Option(label, value));
  };
  const prepare = () => {
    if (ready) return;
    ready = true;
    const { examples, levels, runs, benches, families } = data();
    const used = (key) => [...new Set(examples.map((e) => e[key]).filter(Boolean))];
    fill(filters.bench, used("b").map((b) => [b, benches[b] ?? b]), "all");
    fill(filters.category, used("k").sort().map((k) => [k, plain(k)]), "all");
    const corruptions = used("c").sort();
    const groups = [...new Set(corruptions.map((c) => families[c]).filter(Boolean))];
    fill(filters.corruption, [], "all");
    for (const group of groups) {
      const part = document.createElement("optgroup");
      part.label = plain(group);
      part.append(new Option(`all of ${plain(group)}`, `family:${group}`));
      for (const name of corruptions.filter((c) => families[c] === group)) part.append(new Option(plain(name), name));
      filters.corruption.append(part);
    }
    for (const name of corruptions.filter((c) => !families[c])) filters.corruption.append(new Option(plain(name), name));
    fill(filters.level, levels.map((l) => [l, l]), "hardest");
    fill(filters.run, runs.map((r, i) => [String(i), r]));
    by("l-run").hidden = runs.length < 2;
  };

  const matches = (example, wish) => {
    if (wish.bench && example.b !== wish.bench) return false;
    if (wish.category && example.k !== wish.category) return false;
    if (wish.corruption && example.c !== wish.corruption && `family:${data().families[example.c]}` !== wish.corruption) return false;
    const level = wish.level || hardest(example);
    if (!example.s[level]) return false;
    const answer = example.s[level].a[wish.run];
    const clean = base(example)?.a[wish.run];
    const right = isRight(answer);
    if (wish.verdict === "lost" && !(isRight(clean) && !right)) return false;
    if (wish.verdict === "won" && !(clean && !isRight(clean) && right)) return false;
    if (wish.verdict === "wrong" && right) return false;
    if (wish.verdict === "right" && !right) return false;
    if (wish.verdict === "unread" && answer?.v !== "unresolved") return false;
    if (wish.verdict === "failed" && answer && !FAILED.has(answer.s)) return false;
    return !wish.text || words(example).includes(wish.text);
  };
  const searched = new WeakMap();
  const words = (example) => {
    if (!searched.has(example)) {
      const replies = Object.values(example.s).flatMap((s) => s.a).filter(Boolean).map((a) => a.t);
      const parts = [example.q, example.i, example.k, plain(example.c ?? ""), ...Object.values(example.o), ...replies];
      searched.set(example, parts.join("\n").toLowerCase());
    }
    return searched.get(example);
  };
  const worst = (example, level, run) => {
    const clean = isRight(base(example)?.a[run]);
    const right = isRight(example.s[level || hardest(example)]?.a[run]);
    return clean && !right ? 0 : !clean && !right ? 1 : !clean ? 2 : 3;
  };
  const wishes = () => {
    const wish = {};
    for (const [name, field] of Object.entries(filters)) wish[name] = field.value;
    wish.text = wish.text.trim().toLowerCase();
    wish.run = Number(wish.run || 0);
    return wish;
  };
  const filter = () => {
    prepare();
    const wish = wishes();
    const all = data().examples;
    found = all.filter((example) => matches(example, wish))
      .map((example) => [worst(example, wish.level, wish.run), example])
      .sort((a, b) => a[0] - b[0])
      .map(([, example]) => example);
    by("count").textContent = `${found.length} of ${all.length} examples`;
    list.replaceChildren();
    shown = 0;
    grow();
  };
  const grow = () => {
    const next = found.slice(shown, shown + PAGE);
    const first = shown;
    list.append(...next.map((example, k) => line(example, first + k)));
    shown += next.length;
    by("more").hidden = shown >= found.length;
  };

  const tagsOf = (example) => {
    const { benches } = data();
    return [`${benches[example.b] ?? example.b} #${example.i}`, example.k && plain(example.k), example.c && plain(example.c)].filter(Boolean).join(" · ");
  };
  const truth = (example) => (example.o[example.a] === undefined ? example.a : `${example.a}. ${example.o[example.a]}`);
  const saidBy = (answer) => (answer ? answer.t || answer.why || "" : "");
  const line = (example, place) => {
    const item = make("li");
    const row = make("button", "row");
    row.type = "button";
    row.dataset.place = place;
    const what = make("span", "what");
    what.append(make("span", "tags", tagsOf(example)), make("span", "ask", example.q));
    if (example.a) what.append(make("span", "truth", `Answer: ${truth(example)}`));
    const shots = make("span", "shots");
    const run = wishes().run;
    for (const [level, shot] of Object.entries(example.s)) {
      const box = make("span", "shot");
      const frame = make("span", "frame");
      if (shot.p?.length) frame.append(image(shot.p[0], "", true));
      else { frame.textContent = shot.e ? "unreadable picture" : "no picture"; frame.title = shot.e ?? ""; }
      const answer = shot.a[run];
      box.append(frame, make("span", "", level), verdictNode(answer));
      if (saidBy(answer)) box.append(make("span", "said", saidBy(answer).slice(0, 80)));
      shots.append(box);
    }
    row.append(what, shots);
    item.append(row);
    return item;
  };

  // One example at full width.
  const detail = by("detail");
  const replyNode = (answer, name) => {
    const box = make("div", "reply");
    if (name) box.append(make("h4", "", name));
    box.append(verdictNode(answer));
    if (!answer) return box;
    const how = [answer.x && `read by: ${plain(answer.x)}`, answer.y && `option ${answer.y}`, answer.s !== "ok" && `reply ${answer.s}`].filter(Boolean).join(" · ");
    if (how) box.append(make("div", "how-read", how));
    const text = make("pre", "", answer.t || (answer.s === "ok" ? "(an empty reply)" : ""));
    if (text.textContent) { text.tabIndex = 0; text.setAttribute("role", "group"); text.setAttribute("aria-label", "Reply"); box.append(text); }
    if (answer.why) box.append(make("div", "how-read", answer.why));
    if (answer.p) {
      box.append(make("h4", "", `Picture${answer.p.length > 1 ? "s" : ""} that the model made`));
      for (const number of answer.p) box.append(image(number, "Picture that the model made on the way", false));
    }
    if (answer.th) {
      const more = make("details");
      more.append(make("summary", "", answer.r === undefined ? "Thoughts" : `Thoughts (${answer.r} restorations)`));
      for (const thought of answer.th) more.append(make("pre", "", thought));
      box.append(more);
    }
    return box;
  };
  const fillDetail = (example) => {
    const { runs } = data();
    by("d-title").textContent = tagsOf(example);
    const body = by("d-body");
    const parts = [make("div", "d-ask", example.q)];
    if (example.m) parts.push(make("div", "d-tags", example.m));
    const options = Object.entries(example.o);
    if (options.length) {
      const answers = make("ul", "options");
      for (const [label, text] of options) answers.append(make("li", label === example.a ? "truth" : "", `${label}. ${text}${label === example.a ? " ✓ right answer" : ""}`));
      parts.push(answers);
    } else if (example.a) parts.push(make("div", "", `Answer: ${example.a}`));
    const levels = make("div", "d-levels");
    for (const [level, shot] of Object.entries(example.s)) {
      const box = make("div", "d-level");
      box.append(make("h3", "", level));
      const where = level === "clean" ? "clean" : `${level}${example.c ? `, ${plain(example.c)}` : ""}`;
      for (const number of shot.p ?? []) box.append(image(number, `The question's picture, ${where}`, false));
      if (shot.e) box.append(make("p", "how-read", `No picture: ${shot.e}`));
      shot.a.forEach((answer, k) => box.append(replyNode(answer, runs.length > 1 ? runs[k] : "")));
      levels.append(box);
    }
    parts.push(levels);
    body.replaceChildren(...parts);
    body.scrollTop = 0;
  };
  const openAt = (place) => {
    if (place < 0 || place >= found.length) return;
    open = place;
    while (shown <= place) grow();
    fillDetail(found[place]);
    by("d-prev").disabled = place === 0;
    by("d-next").disabled = place === found.length - 1;
    if (!detail.open) detail.showModal();
    by("d-title").focus();
  };
  by("d-prev").addEventListener("click", () => openAt(open - 1));
  by("d-next").addEventListener("click", () => openAt(open + 1));
  by("d-close").addEventListener("click", () => detail.close());
  detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
  detail.addEventListener("close", () => list.querySelector(`[data-place="${open}"]`)?.focus());
  detail.addEventListener("keydown", (event) => {
    if (event.target.closest("pre")) return;
    if (event.key === "ArrowRight") openAt(open + 1);
    else if (event.key === "ArrowLeft") openAt(open - 1);
    else return;
    event.preventDefault();
  });

  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) openAt(Number(row.dataset.place));
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest(".row");
    if (!step || !row) return;
    event.preventDefault();
    const next = Number(row.dataset.place) + step;
    if (next >= shown && next < found.length) grow();
    list.querySelector(`[data-place="${next}"]`)?.focus();
  });
  // A click on a cell leads to this heading, and the keys lead on from it.
  by("h-examples").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") list.querySelector(".row")?.focus();
    else if (event.key === "Enter") openAt(0);
    else return;
    event.preventDefault();
  });
  by("more").addEventListener("click", () => {
    const next = shown;
    grow();
    list.querySelector(`[data-place="${next}"]`)?.focus();
  });
  let waiting = 0;
  filters.text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  for (const field of Object.values(filters)) if (field !== filters.text) field.addEventListener("change", filter);
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  by("filters").addEventListener("reset", () => setTimeout(filter));
  filters.text.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); list.querySelector(".row")?.focus(); }
    if (event.key === "Escape" && filters.text.value) { event.preventDefault(); filters.text.value = ""; filter(); }
  });

  // A number that was chosen shows its questions.
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("button.go");
    if (!cell || by("examples").hidden) return;
    prepare();
    const wish = cell.dataset;
    by("filters").querySelectorAll("select, input").forEach((field) => { field.value = ""; });
    filters.run.value = wish.run ?? "0";
    filters.bench.value = wish.bench ?? "";
    filters.category.value = wish.category ?? "";
    filters.corruption.value = wish.family ? `family:${wish.family}` : wish.corruption ?? "";
    filters.level.value = wish.level ?? "";
    filter();
    by("h-examples").focus({ preventScroll: true });
    by("examples").scrollIntoView();
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !typing && !detail.open && !event.ctrlKey && !event.metaKey && !event.altKey && !by("examples").hidden) {
      event.preventDefault();
      filters.text.focus();
      filters.text.scrollIntoView({ block: "center" });
    }
  });

  // The numbers come first: examples are read once the page stands.
  if (!by("examples").hidden) requestAnimationFrame(() => setTimeout(filter));
})();
