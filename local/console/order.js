// One order: its way as a waterfall of attempts, and beside it its history, documents and mails.
import { useEffect, useMemo, useRef, useState } from '/lib/hooks.js';
import { amount, ask, call, clock, day, Empty, heard, html, Letter, Pill, Problem, standing, took, useAction } from './store.js';
import { Pdf, useAnswer } from './mail.js';
import { pretty } from './queues.js';

// What a status may become (contract, section 3), by the word on the button.
const steps = {
  pay: { to: 'paid', from: ['pending', 'payment_pending'], body: () => ({ paymentDetails: payment() }) },
  process: { to: 'processing', from: ['paid'] },
  complete: { to: 'completed', from: ['processing'] },
  cancel: { to: 'cancelled', from: ['pending', 'payment_pending'], body: () => ({ reason: 'Cancelled in the console' }) },
  refund: { to: 'refunded', from: ['paid', 'processing', 'completed', 'cancelled'], body: (o) => ({ reason: 'Refunded in the console', ...(!o.paymentDetails && { paymentDetails: payment() }) }) },
};
const payment = () => ({ method: 'payfast', transactionId: `TXN-${Date.now().toString(36).toUpperCase()}` });

// useOrder keeps an order's way, and the order as the API shows it, up to date.
function useOrder(id) {
  const [state, set] = useState({});
  const asked = useRef(0);
  useEffect(() => {
    let timer;
    const load = async () => {
      timer = undefined;
      const mine = ++asked.current;
      try {
        const way = await ask(`orders/${id}`);
        const order = way.order.tenant ? await call('GET', `orders/${id}`, undefined, way.order.tenant).catch(() => undefined) : undefined;
        if (mine === asked.current) set({ ...way, full: order });
      } catch (err) {
        if (mine === asked.current) set((now) => ({ ...now, error: err.message }));
      }
    };
    const listener = (orders) => orders.has(id) && (timer ??= setTimeout(load, 100));
    load();
    heard.add(listener);
    return () => {
      heard.delete(listener);
      clearTimeout(timer);
      asked.current++;
    };
  }, [id]);
  return state;
}

// scale returns where a moment is on the axis, in percent, and where the axis leaves out that nothing happened.
function scale(attempts, now) {
  const busy = [];
  for (const a of attempts) {
    const end = a.end || now;
    const last = busy.at(-1);
    if (last && a.start <= last.end) last.end = Math.max(last.end, end);
    else busy.push({ start: a.start, end });
  }
  const active = busy.reduce((sum, b) => sum + b.end - b.start, 0) || 1;
  const most = Math.max(active * 0.09, 20_000);
  let at = 0;
  busy.forEach((b, i) => {
    const gap = i ? b.start - busy[i - 1].end : 0;
    b.gap = gap;
    at += Math.min(gap, most);
    b.at = at;
    at += b.end - b.start;
  });
  const total = at;
  const place = (time) => {
    const i = busy.findLastIndex((b) => b.start <= time);
    if (i < 0) return 0;
    const b = busy[i];
    const room = (busy[i + 1]?.at ?? total) - b.at - (b.end - b.start);
    const past = time - b.end;
    if (past <= 0) return ((b.at + time - b.start) / total) * 100;
    const next = busy[i + 1];
    return Math.min(100, ((b.at + b.end - b.start + (next ? (past / next.gap) * room : 0)) / total) * 100);
  };
  const gaps = [];
  for (const b of busy) {
    const at = ((b.at - most / 2) / total) * 100;
    if (b.gap > most && at - (gaps.at(-1)?.at ?? -9) > 9) gaps.push({ at, gap: b.gap }); // else they would overlap
  }
  return { place, gaps };
}

// within gives calls and log lines to the attempt that they belong to.
function within(trace) {
  const all = trace.attempts.map((attempt) => ({ ...attempt, calls: [], lines: [] })).sort((a, b) => a.start - b.start);
  // Of those that ran at the time, the one that has the least so far; what ran in the same invocation has it, too.
  const of = (role, time, source, what) => {
    const ran = all.filter((a) => a.role === role && a.start - 3000 <= time && time <= (a.end || Infinity) + 3000);
    const could = ran.some((a) => a.source === source) ? ran.filter((a) => a.source === source) : ran;
    const one = could.sort((a, b) => a[what].length - b[what].length || b.start - a.start)[0];
    return could.filter((a) => Math.abs(a.start - one.start) < 1000);
  };
  for (const c of trace.calls) for (const a of of(c.role, c.start, c.service === 'sns' ? 'stream' : 'queue', 'calls')) a.calls.push(c);
  for (const line of trace.lines) {
    const time = Date.parse(line.time) * 1000;
    const its = all.filter((a) => a.message && a.message === line.messageId);
    const attempt = its.findLast((a) => a.start - 3000 <= time) ?? its.at(-1) ?? of(line.role, time, line.message === 'event published' ? 'stream' : 'api', 'lines')[0];
    attempt?.lines.push(line);
  }
  return all;
}

// gist says in a few words what came of an attempt.
function gist(a) {
  if (a.error) return a.error;
  const said = a.lines.filter((l) => l.level === 'info' && l.message !== 'request answered').at(-1);
  if (said) return [said.message, said.kind?.replace('_', ' '), said.number, said.eventType].filter(Boolean).join(' · ');
  if (a.source === 'api') return a.lines.map((l) => l.status && `answered ${l.status}`).findLast(Boolean) ?? '';
  if (a.outcome === 'done' && a.source === 'queue') return 'nothing left to do';
  return a.outcome === 'done' && a.source === 'stream' ? 'nothing to tell' : '';
}

// isBad reports whether a call went wrong. A condition that does not hold is an answer like others.
const isBad = (c) => c.error !== 'ConditionalCheckFailedException' && Boolean(c.error || c.status >= 400 || !c.status);

function Bar({ a, axis, now, next }) {
  const end = a.end || now;
  const left = axis.place(a.start);
  const right = axis.place(end);
  const until = a.wait ? Math.min(end + a.wait * 1000, next?.start ?? Infinity) : 0;
  const waited = until ? axis.place(until) - right : 0;
  return html`<span class="track" aria-hidden="true">
    <span class="bar ${a.outcome.replace(' ', '-')}" style=${{ left: `${left}%`, width: `max(3px, ${right - left}%)` }}></span>
    ${waited > 0 && html`<span class="wait" style=${{ left: `${right}%`, width: `${waited}%` }}></span>`}
    ${a.calls.filter(isBad).map((c) => html`<span class="mark" style=${{ left: `${axis.place(Math.min(c.end, end))}%` }}></span>`)}
  </span>`;
}

function Calls({ a, run }) {
  const start = a.start;
  const length = (a.end || a.calls.at(-1)?.end || start + 1) - start;
  const crash = (c) => run(async () => {
    await ask('faults', { role: a.role, service: c.service, action: c.action, after: false, on: true });
    await ask('deliver', { order: a.order, attempt: a.id, times: 1 });
  });
  return html`<ol class="calls">
    ${a.calls.map((c, i) => html`<li key=${i}>
      <span class="cut"><code>${c.service} ${c.action}</code></span>
      <span class="${isBad(c) ? 'bad' : 'dim'} cut">${c.error || (c.status === 200 ? '' : c.status)}${c.error && c.status ? ` (${c.status})` : ''}</span>
      <span class="track" aria-hidden="true"><span class="bar ${isBad(c) ? 'failed' : 'done'}" style=${{ left: `${Math.max(0, Math.min(99, ((c.start - start) / length) * 100))}%`, width: `max(2px, ${Math.min(100, ((c.end - c.start) / length) * 100)}%)` }}></span></span>
      <span class="dim number">${took(c.end - c.start)}</span>
      ${a.source !== 'api' ? html`<button type="button" class="quiet" onClick=${() => crash(c)} aria-label="Crash here: ${a.role} before ${c.service} ${c.action}">Crash here</button>` : html`<span></span>`}
    </li>`)}
  </ol>`;
}

function Lines({ lines }) {
  const hidden = ['level', 'time', 'message', 'role', 'functionVersion', 'requestId', 'coldStart', 'tenantId', 'orderId', 'messageId', 'traceId'];
  return html`<ol class="lines">
    ${lines.map((l, i) => html`<li key=${i} class=${l.level}><time>${l.time?.slice(11, 23)}</time><span><b>${l.message}</b>${Object.entries(l).filter(([name]) => !hidden.includes(name)).map(([name, value]) => html` <span><i>${name}=</i>${typeof value === 'object' ? JSON.stringify(value) : String(value)}</span>`)}</span></li>`)}
  </ol>`;
}

function Attempt({ a, axis, now, next, open, toggle }) {
  const { busy, error, run } = useAction();
  const again = (times) => run(() => ask('deliver', { order: a.order, attempt: a.id, times }));
  return html`<li class=${open ? 'open' : ''}>
    <button type="button" class="attempt" aria-expanded=${open} onClick=${toggle}>
      <span class="who"><strong class="cut">${a.role}</strong><span class="dim cut">${a.source === 'api' ? a.what.split(' ')[0] : `${a.source}: ${a.what}`}${a.receives > 1 ? ` · receive ${a.receives}` : ''}</span></span>
      <span class="came"><span><${Pill} text=${a.outcome} /> <span class="dim">${a.end ? took(a.end - a.start) : ''}${a.wait && a.outcome !== 'done' ? `, waits ${took(a.wait * 1000)}` : ''}</span></span><span class="${a.error ? 'bad' : 'dim'} cut">${gist(a)}</span></span>
      <${Bar} a=${a} axis=${axis} now=${now} next=${next} />
    </button>
    ${open && html`<div class="detail">
      <div class="actions">
        ${a.source !== 'api' && html`<button type="button" disabled=${busy} onClick=${() => again(1)}>Deliver again</button>
        <button type="button" disabled=${busy} onClick=${() => again(5)}>Five times</button>`}
        <span class="dim">${day(a.start / 1000)}${a.message ? ` · ${a.message}` : ''}</span>
      </div>
      ${error && html`<${Problem} text=${error} />`}
      ${a.error && html`<p class="bad wrap">${a.error}</p>`}
      ${a.calls.length > 0 && html`<h4>Calls</h4><${Calls} a=${a} run=${run} />`}
      ${a.lines.length > 0 && html`<h4>Log</h4><${Lines} lines=${a.lines} />`}
      ${a.body && html`<details><summary>${a.source === 'api' ? 'Request' : 'Message'}</summary><pre tabindex="0">${pretty(a.body)}</pre></details>`}
    </div>`}
  </li>`;
}

const isRead = (a) => a.role === 'get_order' && a.outcome === 'done';

function Way({ trace }) {
  const [open, setOpen] = useState();
  const [reads, setReads] = useState(false);
  const all = useMemo(() => within(trace), [trace]);
  const attempts = reads ? all : all.filter((a) => !isRead(a));
  const hidden = all.filter(isRead).length;
  const running = attempts.some((a) => !a.end);
  const [, tick] = useState(0);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [running]);
  const now = Date.now() * 1000;
  const axis = scale(attempts, now);
  return html`<header class="heading"><h3 id="way">Its way</h3>${hidden > 0 && html`<button type="button" class="quiet" aria-pressed=${reads} onClick=${() => setReads(!reads)}>${hidden} ${hidden === 1 ? 'read' : 'reads'}</button>`}</header>
  ${!attempts.length && html`<${Empty}>What happened to this order is no longer kept.<//>`}
  <ol class="way">
    <li class="axis" aria-hidden="true"><span></span><span></span><span class="track">${axis.gaps.map((g, i) => html`<span key=${i} class="gap" style=${{ left: `${g.at}%` }}><span>${took(g.gap)}</span></span>`)}</span></li>
    ${attempts.map((a, i) => html`<${Attempt} key=${a.id} a=${a} axis=${axis} now=${now} open=${open === a.id} toggle=${() => setOpen(open === a.id ? undefined : a.id)}
      next=${attempts.slice(i + 1).find((b) => b.role === a.role && b.source === a.source)} />`)}
  </ol>`;
}

function History({ entries }) {
  return html`<section class="card" aria-labelledby="history"><h3 id="history">History</h3>
    <ol class="history">${entries.map((e) => html`<li key=${e.sequence}><span><strong>${e.type.replace('order.', '').replace('_', ' ')}</strong> <time class="dim">${day(e.date)}</time></span>
      <span class="dim wrap">${[e.by, e.reason, e.paymentDetails?.transactionId].filter(Boolean).join(' · ')}</span></li>`)}</ol>
  </section>`;
}

function Documents({ documents }) {
  const [open, setOpen] = useState();
  return html`<section class="card" aria-labelledby="documents"><h3 id="documents">Documents</h3>
    <ul class="things">${documents.map((d) => {
      const src = `/console/documents/${d.url.match(/[^/]+\/orders\/order_[^?]+\.pdf/)?.[0]}`;
      return html`<li key=${d.kind}><span class="name"><strong>${d.kind.replace('_', ' ')}</strong> <span class="dim">${d.number}</span></span>
        <span class="actions"><button type="button" aria-expanded=${open === d.kind} onClick=${() => setOpen(open === d.kind ? undefined : d.kind)}>${open === d.kind ? 'Hide' : 'Preview'}</button><a href=${src} target="_blank">Open</a></span>
        ${open === d.kind && html`<${Pdf} src=${src} title=${d.kind.replace('_', ' ')} />`}</li>`;
    })}</ul>
  </section>`;
}

function Mails({ mails }) {
  const [open, setOpen] = useState();
  const { answer } = useAnswer(open && `mails/${open}`);
  return html`<section class="card" aria-labelledby="mails"><h3 id="mails">Mails</h3>
    <ul class="things">${mails.map((m) => html`<li key=${m.id}><span class="name"><strong class="cut">${m.subject.split(':')[0]}</strong> <span class="dim cut">${m.to}</span></span>
      <span class="actions"><time class="dim">${clock(m.at / 1000)}</time><button type="button" aria-expanded=${open === m.id} onClick=${() => setOpen(open === m.id ? undefined : m.id)}>${open === m.id ? 'Hide' : 'Read'}</button></span>
      ${open === m.id && answer && html`<${Letter} title=${m.subject} subject=${m.subject} to=${m.to} content=${answer} />`}</li>`)}</ul>
  </section>`;
}

export function Order({ id }) {
  const { order, trace, mails = [], full, error } = useOrder(id);
  const { busy, error: refused, run } = useAction();
  if (error && !order) return html`<p><a class="back" href="#/orders">Orders</a></p><${Problem} text=${error} />`;
  if (!order) return null;
  const history = full?.history ?? [];
  const documents = full?.documents ?? [];
  const step = ({ to, body }) => run(() => call('PUT', `orders/${id}`, { status: to, ...body?.(full) }, order.tenant));
  return html`
    <header class="order">
      <a class="back" href="#/orders">Orders</a>
      <div class="title"><h2>${order.number || 'Order'}</h2><${Pill} text=${standing(order)} /><strong>${amount(order)}</strong></div>
      <p class="dim facts"><span>${order.tenant}</span>${order.created && html`<span>${day(order.created)}</span>`}<code>${id}</code></p>
      ${order.failure && html`<p class="bad wrap">${order.failure}</p>`}
      <div class="actions" role="group" aria-label="Change the order">
        ${Object.entries(steps).map(([name, s]) => html`<button type="button" key=${name} disabled=${busy || order.state !== 'recorded' || !s.from.includes(order.status)} onClick=${() => step(s)}>${name[0].toUpperCase() + name.slice(1)}</button>`)}
      </div>
      ${refused && html`<${Problem} text=${refused} />`}
    </header>
    <div class="columns">
      <section class="card" aria-labelledby="way"><${Way} trace=${trace} /></section>
      <div class="beside">
        ${history.length > 0 && html`<${History} entries=${history} />`}
        ${documents.length > 0 && html`<${Documents} documents=${documents} />`}
        ${mails.length > 0 && html`<${Mails} mails=${mails} />`}
      </div>
    </div>`;
}
