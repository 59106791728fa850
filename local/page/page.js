// The page: the contract, tryable, and beside it what the service makes of a request. See page.go for what it asks.

const $ = (selector, root = document) => root.querySelector(selector);

// The renderer follows the system's colours through a class of its own.
const dark = matchMedia('(prefers-color-scheme: dark)');
const paint = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', paint);
paint();

const ui = SwaggerUIBundle({
  url: 'openapi.json',
  domNode: $('#api'),
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  onComplete: identify,
});

// identify fetches a token for the tenant of the form and gives it to the renderer.
async function identify() {
  const form = new FormData($('#identity'));
  const answer = await fetch('token?' + new URLSearchParams(form));
  const said = $('#identity output');
  if (!answer.ok) {
    said.textContent = await answer.text();
    return;
  }
  ui.preauthorizeApiKey('portal', 'Bearer ' + await answer.text());
  said.textContent = `Requests are sent for ${form.get('tenant')}${form.has('admin') ? ', as an administrator' : ''}.`;
}
$('#identity').addEventListener('submit', (event) => {
  event.preventDefault();
  identify();
});

// cell makes a cell hold a text, or an element where there is something to do; it leaves a cell alone that already does, so
// that focus and selection stay.
function cell(td, { text, kind = '', href, press }) {
  const said = JSON.stringify([text, kind, href]);
  if (td.dataset.said === said) return;
  td.dataset.said = said;
  td.className = kind;
  if (href) {
    const a = Object.assign(document.createElement('a'), { href, target: '_blank', rel: 'noopener', textContent: text });
    td.replaceChildren(a);
  } else if (press) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text, onclick: press });
    td.replaceChildren(button);
  } else {
    td.textContent = text;
  }
}

// fill makes a table show rows, each {key, cells}, in their order. The rows that it already shows stay in the document.
function fill(table, rows) {
  const body = $('tbody', table);
  const shown = new Map([...body.rows].map((tr) => [tr.dataset.key, tr]));
  rows.forEach(({ key, cells }, i) => {
    let tr = shown.get(key);
    if (!tr) {
      tr = document.createElement('tr');
      tr.dataset.key = key;
      tr.append(...cells.map(() => document.createElement('td')));
    }
    shown.delete(key);
    cells.forEach((content, c) => cell(tr.cells[c], content));
    if (body.rows[i] !== tr) body.insertBefore(tr, body.rows[i] ?? null);
  });
  for (const tr of shown.values()) tr.remove();
}

const clock = (time) => new Date(time).toLocaleTimeString('en-GB');
const count = (n, kind = '') => ({ text: String(n), kind: `number ${n ? kind : ''}`.trim() });

// How an order stands, in words: what its status says and how far it got.
function standing(order) {
  if (order.failure) return { text: `failed: ${order.failure}`, kind: 'bad' };
  if (!order.recorded) return { text: 'accepted', kind: 'wait' };
  return { text: `recorded, ${order.status.replace('_', ' ')}`, kind: 'good' };
}

function show(status) {
  fill($('#orders'), status.orders.map((o) => ({
    key: o.id,
    cells: [
      { text: o.number || o.id },
      { text: o.tenant },
      standing(o),
      { text: o.total ? `${o.currency} ${o.total}` : '', kind: 'number' },
      { text: o.placed ? clock(o.placed) : '' },
      o.invoice ? { text: 'PDF', href: 'invoice?' + new URLSearchParams({ tenant: o.tenant, id: o.id }) } : { text: '' },
    ],
  })));
  fill($('#mails'), status.mails.map((m) => ({
    key: m.id,
    cells: [{ text: m.subject, press: () => read(m) }, { text: m.to.join(', ') }, { text: clock(m.sent) }],
  })));
  fill($('#queues'), status.queues.map((q) => ({
    key: q.name,
    cells: [{ text: q.name }, count(q.waiting, 'wait'), count(q.inFlight, 'wait'), count(q.dead, 'bad')],
  })));
}

// read opens a mail in a dialog. Its HTML comes from templates and customers, so it gets neither scripts nor an origin.
function read(mail) {
  const dialog = $('#mail');
  $('h2', dialog).textContent = mail.subject;
  $('dl', dialog).replaceChildren(...[['From', mail.from], ['To', mail.to.join(', ')], ['Sent', clock(mail.sent)]].flatMap(([name, value]) => [
    Object.assign(document.createElement('dt'), { textContent: name }),
    Object.assign(document.createElement('dd'), { textContent: value }),
  ]));
  $('iframe', dialog).srcdoc = mail.html || `<pre style="white-space:pre-wrap">${mail.text.replace(/[&<]/g, (c) => `&#${c.charCodeAt(0)};`)}</pre>`;
  dialog.showModal();
}

// announce says once what is new since the last look.
let before;
function announce(status) {
  const now = new Map(status.orders.map((o) => [o.id, standing(o).text + (o.invoice ? ', invoiced' : '')]));
  if (before) {
    for (const o of status.orders) {
      if (before.get(o.id) !== now.get(o.id)) $('#live').textContent = `${o.number || o.id}: ${now.get(o.id)}`;
    }
    if (status.mails.length && !before.has(status.mails[0].id)) $('#live').textContent = `New mail: ${status.mails[0].subject}`;
  }
  before = new Map([...now, ...status.mails.map((m) => [m.id, ''])]);
}

// look shows the present state, and again a second later; a hidden page does not ask.
async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch('status');
      if (!answer.ok) throw new Error(await answer.text());
      const status = await answer.json();
      show(status);
      announce(status);
    } catch (err) {
      $('#live').textContent = `The local stack does not answer: ${err.message}`;
    }
  }
  setTimeout(look, 1000);
}
look();
