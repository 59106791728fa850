// What every part of the console uses: requests, the state that the server tells, and small pieces of the page.
import { h } from '/lib/preact.js';
import { useEffect, useState } from '/lib/hooks.js';
import htm from '/lib/htm.js';

export const html = htm.bind(h);

// ask sends a request to the console's server; the error is what it says.
export async function ask(path, body) {
  const answer = await fetch('/console/' + path, body && { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// The state that all tabs share, and those who want to know of its changes. The server's events are merged into it.
export const store = { live: false, orders: [], more: false, total: 0, query: '', mails: [], queues: [], faults: [], carts: [], moments: [], templates: [], saved: '' };
const listeners = new Set();

export function change(news) {
  Object.assign(store, news);
  for (const listener of listeners) listener();
}

export function useStore() {
  const [, render] = useState(0);
  useEffect(() => {
    const listener = () => render((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return store;
}

const mostShown = 500;

// heard are told of the orders that have changed.
export const heard = new Set();

const matches = (o) => [o.number, o.id, o.tenant, o.status, o.state].join(' ').toLowerCase().includes(store.query.toLowerCase());

// search loads the first page of the orders that have a text in them.
export async function search(query = store.query) {
  store.query = query;
  const page = await ask('orders?' + new URLSearchParams({ q: query }));
  if (query === store.query) change(page);
}

export async function more() {
  const page = await ask('orders?' + new URLSearchParams({ q: store.query, before: store.orders.at(-1).place }));
  change({ ...page, orders: [...store.orders, ...page.orders] });
}

function merge(news) {
  const { orders, mails, carts } = news;
  if (carts) { // the first one has everything
    change({ ...news, ...(store.query && { orders: store.orders }), mails: mails.reverse(), live: true });
    if (store.query) search();
    return;
  }
  const now = new Map(orders.map((o) => [o.id, o]));
  const newest = store.newest ?? store.orders[0]?.place ?? 0;
  const fresh = orders.filter((o) => o.place > newest);
  const list = [...fresh.filter(matches).reverse(), ...store.orders.map((o) => now.get(o.id) ?? o)];
  change({
    ...news,
    orders: list.slice(0, mostShown), more: store.more || list.length > mostShown, total: store.total + fresh.length,
    newest: Math.max(newest, ...orders.map((o) => o.place)), mails: [...mails.reverse(), ...store.mails].slice(0, mostShown),
  });
  for (const listener of heard) listener(now);
}

export function connect() {
  const source = new EventSource('/console/events');
  source.onmessage = ({ data }) => merge(JSON.parse(data));
  source.onerror = () => change({ live: false });
}

// Whom requests are sent for.
export const identity = { tenant: sessionStorage.tenant ?? 'tenant-1', admin: sessionStorage.admin === 'true' };
export function identify(next) {
  Object.assign(identity, next);
  Object.assign(sessionStorage, identity);
  change({});
}

const tokens = new Map();
export async function token(tenant, admin) {
  const who = new URLSearchParams({ tenant, ...(admin && { admin: 'on' }) }).toString();
  if (!tokens.has(who)) tokens.set(who, await ask('token?' + who));
  return tokens.get(who);
}

// call sends a request to the API itself. The error is what the API says.
export async function call(method, path, body, tenant = identity.tenant) {
  const headers = { Authorization: `Bearer ${await token(tenant, identity.admin)}`, 'Content-Type': 'application/json' };
  if (method === 'GET') headers['X-Console'] = '1'; // no part of an order's way
  const answer = await fetch('/v1.0/' + path, { method, headers, body: body && JSON.stringify(body) });
  const said = await answer.json();
  if (!said.success) throw new Error([said.message, ...(said.details ?? []).map((d) => `${d.field}: ${d.message}`)].join(' '));
  return said.data;
}

// useAction returns what runs an action, whether it runs, and what went wrong.
export function useAction() {
  const [state, set] = useState({ busy: false, error: '' });
  const run = async (action) => {
    set({ busy: true, error: '' });
    try {
      await action();
      set({ busy: false, error: '' });
    } catch (err) {
      set({ busy: false, error: err.message });
    }
  };
  return { ...state, run };
}

export const Problem = ({ text }) => html`<p class="problem" role="alert">${text}</p>`;
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

const tones = { recorded: 'accent', paid: 'good', processing: 'accent', completed: 'good', refunded: 'quiet', cancelled: 'quiet', pending: 'accent', failed: 'bad', crashed: 'bad', 'put off': 'warn', running: 'accent', done: 'good', accepted: 'warn' };
export const Pill = ({ text }) => html`<span class="pill ${tones[text] ?? 'quiet'}">${text.replace('_', ' ')}</span>`;

// standing says how an order stands in one word.
export const standing = (o) => (o.state === 'recorded' ? o.status : o.state);

export const clock = (time) => new Date(time).toLocaleTimeString('en-GB');
export const day = (time) => new Date(time).toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });
export const amount = (o) => (o.total ? `${o.currency} ${o.total}` : '');

// took says how long something took, in microseconds.
export function took(us) {
  const ms = us / 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

// A choice of a few views, one of which is open: a list of tabs by the keyboard's rules.
export function Tabs({ label, all, open, choose, kind = '' }) {
  const key = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -all.length, End: all.length }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = all.findIndex(([id]) => id === open);
    const to = Math.abs(step) > 1 ? (step < 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length;
    choose(all[to][0]);
    event.currentTarget.children[to].focus();
  };
  return html`<div class="tabs ${kind}" role="tablist" aria-label=${label} onKeyDown=${key}>
    ${all.map(([id, text, count]) => html`<button type="button" role="tab" id="tab-${id}" key=${id} aria-selected=${id === open} aria-controls="panel-${id}"
      tabindex=${id === open ? 0 : -1} onClick=${() => choose(id)}>${text}${count > 0 && html` <span class="count">${count}</span>`}</button>`)}
  </div>`;
}

// A mail as its reader sees it. Its HTML comes from templates and customers, so it gets neither scripts nor an origin.
export function Letter({ title, subject, to, content }) {
  const [plain, setPlain] = useState(false);
  const text = plain || !content.html;
  return html`<article class="letter">
    <header>
      <div><h3>${subject}</h3>${to && html`<p>${to}</p>`}</div>
      <div class="segments" role="group" aria-label="Part">
        <button type="button" aria-pressed=${!text} disabled=${!content.html} onClick=${() => setPlain(false)}>HTML</button>
        <button type="button" aria-pressed=${text} onClick=${() => setPlain(true)}>Text</button>
      </div>
    </header>
    ${text ? html`<pre tabindex="0">${content.text}</pre>` : html`<iframe sandbox="" title=${title} srcdoc=${content.html}></iframe>`}
  </article>`;
}
