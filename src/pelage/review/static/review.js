// The review page: keys, looking at two photos together, and decisions that are told once however often they are sent.
'use strict';
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const readOnly = document.body.dataset.readOnly === 'yes';
  const reviewer = $('#reviewer');
  reviewer.value = reviewer.value || localStorage.getItem('pelage reviewer') || '';
  reviewer.addEventListener('change', () => localStorage.setItem('pelage reviewer', reviewer.value.trim()));

  function trouble(text) {
    const box = $('#trouble');
    box.textContent = text;
    box.hidden = !text;
  }

  function newId() {
    if (crypto.randomUUID) return crypto.randomUUID();
    return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  // ---- decisions -----------------------------------------------------------------------------------------------
  let sending = false;

  async function send(event) {
    if (readOnly) return trouble('Started with --read-only: nothing can be decided.');
    if (!reviewer.value.trim()) {
      reviewer.focus();
      return trouble('Write your name first (above, right): each decision says who took it.');
    }
    if (sending) return;
    sending = true;
    trouble('');
    const who = reviewer.value.trim();
    const body = JSON.stringify({ ...event, id: newId(), time: new Date().toISOString(), reviewer: who });
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await fetch('/decide', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
        const told = answer.headers.get('Content-Type').startsWith('application/json') ? await answer.json() : { error: await answer.text() };
        if (!answer.ok) {
          trouble('Not written: ' + told.error);
          break;
        }
        location.assign(told.next === '/' ? `/?reviewer=${encodeURIComponent(who)}` : told.next);
        return;
      } catch (error) {  // no answer: the same line is sent again, and counts once
        trouble('No answer from the page; trying again. Is `make review` still running?');
        if (attempt >= 20) break;
        await new Promise((resolve) => setTimeout(resolve, 300 + 200 * attempt));
      }
    }
    sending = false;
  }

  function ask(title, label, choices, done, free = true) {
    const dialog = $('#ask');
    $('#ask-title').textContent = title;
    $('#ask-label').textContent = label;
    const input = $('#ask-text');
    input.value = '';
    input.hidden = !free;
    $('#ask-ok').hidden = !free;
    $('#ask-choices').replaceChildren(...choices.map((text, place) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = `${place + 1} ${text}`;
      button.addEventListener('click', () => { dialog.close('chosen'); done(text); });
      return button;
    }));
    dialog.onclose = () => { if (dialog.returnValue === 'ok' && input.value.trim()) done(input.value.trim()); };
    dialog.onkeydown = (event) => {
      const place = Number(event.key) - 1;
      if ((!free || !input.value) && choices[place]) { event.preventDefault(); dialog.close('chosen'); done(choices[place]); }
    };
    dialog.returnValue = '';
    dialog.showModal();
  }

  const REASONS = ['blurred', 'too little of the flank', 'no marks to be seen', 'several animals', 'bad light'];
  const pair = $('#pair');
  const animal = $('#animal');

  function subject(button) {
    const from = button && button.dataset.crops ? button.dataset : (pair || animal || { dataset: {} }).dataset;
    const parse = (text) => (text ? JSON.parse(text) : []);
    return {
      crops: parse(from.crops), other_crops: parse(from.otherCrops),
      shown: pair ? JSON.parse(pair.dataset.shown) : {}, unit: pair ? pair.dataset.unit : '', page: location.pathname + location.search,
    };
  }

  function decide(verb, button) {
    const event = { verb, ...subject(button) };
    const name = animal ? animal.dataset.name : '';
    if (verb === 'undo') return send({ verb, undoes: button && button.dataset.undoes ? button.dataset.undoes : 'last', page: event.page });
    if (verb === 'is') return ask('Which animal is it?', 'Name', pair && pair.dataset.name ? [pair.dataset.name] : [], (text) => send({ ...event, name: text }));
    if (verb === 'cannot_tell') return ask('Why can nobody tell?', 'Reason', REASONS, (text) => send({ ...event, reason: text }));
    if (verb === 'note') return ask('Note', 'Text', [], (text) => send({ ...event, reason: text }));
    if (verb === 'rename') return ask(`Rename ${name}`, 'New name', [], (text) => send({ ...event, name, to: text }));
    if (verb === 'merge') return ask(`${name} is the same animal as …`, 'Name', [], (text) => send({ ...event, name, to: text }));
    send(event);
  }

  all('[data-verb]').forEach((button) => {
    button.disabled = readOnly;
    button.addEventListener('click', () => decide(button.dataset.verb, button));
  });

  // ---- looking -------------------------------------------------------------------------------------------------
  const panes = all('.pane');
  const look = { scale: 1, x: 0, y: 0, view: 'crop', mirror: false, heat: false };

  function fit(image) {  // where a photo lies in its view before zoom: left, top, width, height
    const box = image.parentElement.getBoundingClientRect();
    const width = image.naturalWidth || Number(image.getAttribute('width')) || 4;
    const height = image.naturalHeight || Number(image.getAttribute('height')) || 3;
    const scale = Math.min(box.width / width, box.height / height);
    return { left: (box.width - width * scale) / 2, top: (box.height - height * scale) / 2, width: width * scale, height: height * scale, box };
  }

  function draw() {
    panes.forEach((pane) => {
      const mirrored = look.mirror && pane.dataset.side === 'right';
      const width = $('.view', pane).getBoundingClientRect().width;
      const flip = mirrored ? ` translate(${width}px, 0) scale(-1, 1)` : '';
      const light = `contrast(${$('#contrast').value}%) brightness(${$('#brightness').value}%)`;
      all('.view img, .view canvas', pane).forEach((layer) => {
        layer.style.transform = `translate(${look.x}px, ${look.y}px) scale(${look.scale})` + flip;
      });
      $('.view img', pane).style.filter = light;
      $('.heat', pane).hidden = !look.heat;
    });
    drawLines();
  }

  function place(pane, x, y) {  // of a keypoint, shares of the photo, on the page's pair
    const image = $('.big', pane);
    const at = fit(image);
    let left = at.left + x * at.width;
    if (look.mirror && pane.dataset.side === 'right') left = at.box.width - left;
    const origin = pair.getBoundingClientRect();
    const inside = { x: left * look.scale + look.x, y: (at.top + y * at.height) * look.scale + look.y };
    const seen = inside.x >= 0 && inside.y >= 0 && inside.x <= at.box.width && inside.y <= at.box.height;
    return { x: at.box.left - origin.left + inside.x, y: at.box.top - origin.top + inside.y, seen };
  }

  let matches = [];
  const SVG = 'http://www.w3.org/2000/svg';

  function drawLines() {
    const svg = $('#lines');
    if (!svg) return;
    const fade = Number($('#fade').value) / 100;
    svg.replaceChildren();
    if (!fade) return;
    const [left, right] = panes;
    const strongest = Math.max(...matches.map((match) => match[4]), 1e-9);
    matches.forEach(([x, y, otherX, otherY, score]) => {
      const from = place(left, x, y);
      const to = place(right, otherX, otherY);
      if (!from.seen || !to.seen) return;
      const line = document.createElementNS(SVG, 'line');
      Object.entries({ x1: from.x, y1: from.y, x2: to.x, y2: to.y, opacity: fade * (0.25 + 0.75 * score / strongest) }).forEach(([key, value]) => line.setAttribute(key, value));
      svg.append(line);
    });
  }

  function drawHeat() {
    panes.forEach((pane, side) => {
      const canvas = $('.heat', pane);
      const at = fit($('.big', pane));
      canvas.width = at.box.width;
      canvas.height = at.box.height;
      const context = canvas.getContext('2d');
      matches.forEach((match) => {
        const x = at.left + match[2 * side] * at.width;
        const y = at.top + match[2 * side + 1] * at.height;
        const glow = context.createRadialGradient(x, y, 0, x, y, at.width / 9);
        glow.addColorStop(0, 'rgba(255, 120, 0, .45)');
        glow.addColorStop(1, 'rgba(255, 120, 0, 0)');
        context.fillStyle = glow;
        context.fillRect(0, 0, canvas.width, canvas.height);
      });
    });
  }

  async function loadLines() {
    const [query, candidate] = panes.map((pane) => $('.big', pane).dataset.crop);
    const answer = await fetch(`/lines?query=${encodeURIComponent(query)}&candidate=${encodeURIComponent(candidate)}`);
    matches = answer.ok ? (await answer.json()).matches : [];
    drawHeat();
    drawLines();
  }

  function address(crop, version, view) {
    return `/picture?crop=${encodeURIComponent(crop)}&view=${view}&size=full&v=${version}`;
  }

  function show(pane, thumb) {
    all('.thumb', pane).forEach((other) => other.setAttribute('aria-pressed', String(other === thumb)));
    const image = $('.big', pane);
    image.dataset.crop = thumb.dataset.crop;
    image.src = address(thumb.dataset.crop, thumb.dataset.version, look.view);
    image.alt = $('img', thumb).alt;
    thumb.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  function step(side, by) {
    const thumbs = all('.thumb', panes[side]);
    const now = thumbs.findIndex((thumb) => thumb.getAttribute('aria-pressed') === 'true');
    const next = thumbs[(now + by + thumbs.length) % thumbs.length];
    if (next) { show(panes[side], next); loadLines(); }
  }

  function zoom(factor, x, y) {
    const scale = Math.min(Math.max(look.scale * factor, 1), 12);
    const by = scale / look.scale;
    look.x = scale === 1 ? 0 : x - (x - look.x) * by;
    look.y = scale === 1 ? 0 : y - (y - look.y) * by;
    look.scale = scale;
    draw();
  }

  function toggle(what) {
    if (what === 'help') return $('#help').showModal();
    if (what === 'edges' || what === 'nobg') {
      look.view = look.view === what ? 'crop' : what;
      panes.forEach((pane) => show(pane, $('.thumb[aria-pressed=true]', pane)));
    } else if (what === 'mirror' || what === 'heat') look[what] = !look[what];
    else if (what === 'reset') {
      Object.assign(look, { scale: 1, x: 0, y: 0 });
      $('#contrast').value = $('#brightness').value = 100;
    }
    all('[data-look]').forEach((button) => {
      const name = button.dataset.look;
      if (button.hasAttribute('aria-pressed')) button.setAttribute('aria-pressed', String(name === look.view || look[name] === true));
    });
    draw();
  }

  if (pair) {
    matches = JSON.parse(pair.dataset.lines);
    all('.thumb').forEach((thumb) => thumb.addEventListener('click', () => { show(thumb.closest('.pane'), thumb); loadLines(); }));
    all('.big').forEach((image) => image.addEventListener('load', () => { drawHeat(); draw(); }));
    all('.tools input').forEach((input) => input.addEventListener('input', draw));
    all('.view').forEach((view) => {
      view.addEventListener('wheel', (event) => {
        event.preventDefault();
        const box = view.getBoundingClientRect();
        zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.clientX - box.left, event.clientY - box.top);
      }, { passive: false });
      view.addEventListener('pointerdown', (event) => {
        view.setPointerCapture(event.pointerId);
        const start = { x: event.clientX - look.x, y: event.clientY - look.y };
        view.onpointermove = (move) => { if (look.scale > 1) { look.x = move.clientX - start.x; look.y = move.clientY - start.y; draw(); } };
        view.onpointerup = view.onpointercancel = () => { view.onpointermove = null; };
      });
    });
    window.addEventListener('resize', () => { drawHeat(); draw(); });
    draw();
  }
  all('[data-look]').forEach((button) => button.addEventListener('click', () => toggle(button.dataset.look)));

  // ---- keys ----------------------------------------------------------------------------------------------------
  const slide = (id, by) => { const input = $(id); input.value = Number(input.value) + by; draw(); };
  const middle = () => { const box = $('.view').getBoundingClientRect(); return [box.width / 2, box.height / 2]; };
  const LOOKING = {
    e: () => toggle('edges'), b: () => toggle('nobg'), m: () => toggle('mirror'), h: () => toggle('heat'), 0: () => toggle('reset'),
    ArrowLeft: () => step(0, -1), ArrowRight: () => step(0, 1), ArrowUp: () => step(1, -1), ArrowDown: () => step(1, 1),
    '+': () => zoom(1.3, ...middle()), '-': () => zoom(1 / 1.3, ...middle()),
    '[': () => slide('#contrast', -10), ']': () => slide('#contrast', 10), '(': () => slide('#brightness', -10), ')': () => slide('#brightness', 10),
    l: () => { const fade = $('#fade'); fade.value = Number(fade.value) ? 0 : 35; draw(); },
  };
  const DECIDING = { s: 'same', d: 'different', n: 'new', i: 'is', c: 'cannot_tell', k: 'skip', p: 'pin', t: 'note', z: 'undo', r: 'rename', g: 'merge' };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input:not([type=range]), select, textarea, dialog[open]')) return;
    if (event.key === '?') { event.preventDefault(); return toggle('help'); }
    if (event.key === 'Escape') return trouble('');
    const button = DECIDING[event.key] && $(`.decide [data-verb=${DECIDING[event.key]}]`);
    if (button) { event.preventDefault(); return decide(DECIDING[event.key], button); }
    if (pair && LOOKING[event.key]) { event.preventDefault(); LOOKING[event.key](); }
  });
})();
