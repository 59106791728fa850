// The queues with their dead letters, and what can be broken: neighbours and processes.
import { useState } from '/lib/hooks.js';
import { ask, Empty, html, Problem, useAction, useStore } from './store.js';
import { useAnswer } from './mail.js';

function Letters({ queue }) {
  const { answer, error } = useAnswer(`dead/${queue.deadQueue}`, queue.dead);
  if (error) return html`<${Problem} text=${error} />`;
  if (!answer) return null;
  return html`<ul class="letters">
    ${answer.letters.map((l) => html`<li key=${l.id}>
      <p><span class="bad">${l.reason || 'no reason in the logs'}</span>${l.order && html` <a href="#/orders/${l.order}">its order</a>`}</p>
      <pre tabindex="0">${pretty(l.body)}</pre>
    </li>`)}
    ${answer.total > answer.letters.length && html`<li class="dim">${answer.total - answer.letters.length} more</li>`}
  </ul>`;
}

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Queue({ queue }) {
  const [open, setOpen] = useState(false);
  const { busy, error, run } = useAction();
  const count = (n, kind) => html`<span class="number ${n ? kind : 'zero'}">${n}</span>`;
  return html`<li>
    <div class="row">
      <span class="name"><strong>${queue.role || 'the table’s stream'}</strong><span class="dim cut">${queue.queue || queue.deadQueue}</span></span>
      ${queue.role ? html`<span class="cell"><i>waiting</i>${count(queue.waiting, 'warn')}</span>
      <span class="cell"><i>delayed</i>${count(queue.delayed, 'warn')}</span>
      <span class="cell"><i>in flight</i>${count(queue.inFlight, 'accent')}</span>` : html`<span class="cell"></span><span class="cell"></span><span class="cell"></span>`}
      <span class="cell"><i>dead</i>${count(queue.dead, 'bad')}</span>
      <span class="actions">
        ${queue.dead > 0 && html`<button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? 'Hide' : 'Show'}</button>`}
        ${queue.dead > 0 && queue.role && html`<button type="button" disabled=${busy} onClick=${() => run(() => ask(`redrive/${queue.role}`, {}))}>Redrive</button>`}
      </span>
    </div>
    ${error && html`<${Problem} text=${error} />`}
    ${open && queue.dead > 0 && html`<${Letters} queue=${queue} />`}
  </li>`;
}

const names = { dynamodb: 'DynamoDB', sqs: 'SQS', sns: 'SNS', s3: 'S3', ses: 'SES', cart: 'Cart API' };

// useFaults returns whether a fault is on, and what switches it.
function useFaults() {
  const { faults } = useStore();
  const { error, run } = useAction();
  const isOn = (f) => faults.some((other) => same(other, f));
  return { faults, error, isOn, flip: (f) => run(() => ask('faults', { ...f, on: !isOn(f) })) };
}

function Neighbours() {
  const { error, isOn, flip } = useFaults();
  return html`<section class="card" aria-labelledby="faults"><h3 id="faults">Neighbours</h3>
    <ul class="switches">
      ${Object.entries(names).map(([service, name]) => {
        const down = { role: '', service, action: '', after: false };
        return html`<li key=${service}><span>${name}</span><button type="button" role="switch" aria-checked=${!isOn(down)} aria-label=${name} onClick=${() => flip(down)}><span>${isOn(down) ? 'down' : 'up'}</span></button></li>`;
      })}
    </ul>
    ${error && html`<${Problem} text=${error} />`}
  </section>`;
}

function Crashes() {
  const { moments } = useStore();
  const { faults, error, isOn, flip } = useFaults();
  const others = faults.filter((f) => f.role && !moments.some((m) => same(m, f))).map((f) => ({ ...f, what: `${f.role} ${f.after ? 'after' : 'before'} ${f.service} ${f.action}` }));
  return html`<section class="card" aria-labelledby="crashes"><h3 id="crashes">Crash once</h3>
    <ul class="switches">
      ${[...moments, ...others].map((m) => html`<li key=${m.what}><span>${m.what}</span>
        <button type="button" aria-pressed=${isOn(m)} aria-label="${isOn(m) ? 'armed' : 'arm'}: ${m.what}" onClick=${() => flip(m)}>${isOn(m) ? 'armed' : 'arm'}</button></li>`)}
    </ul>
    ${error && html`<${Problem} text=${error} />`}
  </section>`;
}

const same = (a, b) => a.role === b.role && a.service === b.service && a.action === b.action && a.after === b.after;

export function Queues() {
  const { queues } = useStore();
  return html`
    <h2 class="hidden">Queues</h2>
    <section class="card queues" aria-label="Queues">
      ${queues.length ? html`<ul>${queues.map((q) => html`<${Queue} queue=${q} key=${q.deadQueue} />`)}</ul>` : html`<${Empty}>…<//>`}
    </section>
    <div class="pair"><${Neighbours} /><${Crashes} /></div>`;
}
