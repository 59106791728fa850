// What SES took, and the templates as they are on disk.
import { useEffect, useState } from '/lib/hooks.js';
import { ask, clock, Empty, html, Letter, Problem, Tabs, useStore } from './store.js';

const customer = (m) => (m.role === 'customer_order_confirmation' ? 'customer' : 'team');

// useAnswer returns what the server says to a request, again whenever one of the others changes.
export function useAnswer(path, ...others) {
  const [said, set] = useState({});
  useEffect(() => {
    let current = true;
    if (path) ask(path).then((answer) => current && set({ path, answer }), (err) => current && set({ path, error: err.message }));
    return () => (current = false);
  }, [path, ...others]);
  return said.path === path ? said : {};
}

function Sent({ id }) {
  const { mails, live } = useStore();
  const { answer, error } = useAnswer(id && `mails/${id}`);
  if (live && !mails.length) return html`<${Empty}>No mail yet. Every order sends one to its customer and one to the team.<//>`;
  return html`<div class="split">
    <nav aria-label="Mails" class="card"><ul class="choices">
      ${mails.map((m) => html`<li key=${m.id}><a href="#/mail/sent/${encodeURIComponent(m.id)}" aria-current=${m.id === id ? 'true' : undefined}>
        <strong class="cut">${m.subject}</strong><span class="dim cut">${customer(m)} · ${m.to}</span><time class="dim">${clock(m.at / 1000)}</time>
      </a></li>`)}
    </ul></nav>
    <div class="card reader" aria-live="off">
      ${error && html`<${Problem} text=${error} />`}
      ${answer ? html`<${Letter} title=${answer.mail.subject} subject=${answer.mail.subject} content=${answer}
        to=${html`${answer.mail.to}${answer.mail.order && html` · <a href="#/orders/${answer.mail.order}">its order</a>`}`} />` : !id && html`<${Empty}>Choose a mail.<//>`}
    </div>
  </div>`;
}

const documents = { pro_forma: 'Pro forma', tax_invoice: 'Tax invoice', credit_note: 'Credit note' };

function Templates({ id }) {
  const { templates, saved } = useStore();
  const isDocument = id in documents;
  const { answer, error } = useAnswer(id && !isDocument && `templates/${id}`, saved);
  const choice = (key, name, of) => html`<li key=${key}><a href="#/mail/templates/${key}" aria-current=${key === id ? 'true' : undefined}><strong class="cut">${name}</strong><span class="dim">${of}</span></a></li>`;
  return html`<div class="split">
    <nav aria-label="Templates" class="card"><ul class="choices">
      ${templates.map((key) => choice(key, key.split('/')[1].replace('.html', ''), key.split('/')[0]))}
      ${Object.entries(documents).map(([kind, name]) => choice(kind, name, 'document'))}
    </ul></nav>
    <div class="card reader">
      ${!id && html`<${Empty}>Choose a template. It is shown again whenever it is saved.<//>`}
      ${error && html`<${Problem} text=${error} />`}
      ${isDocument && html`<article class="letter"><header><div><h3>${documents[id]}</h3><p>invoice/branding</p></div>
        <a href="/console/sample/${id}" target="_blank">Open</a></header><${Pdf} key=${saved} src="/console/sample/${id}" title=${documents[id]} /></article>`}
      ${answer && html`
        ${answer.problems.length > 0 && html`<ol class="problems" aria-label="Problems">
          ${answer.problems.map((p) => html`<li><code>${answer.file}${p.Line > 0 && `:${p.Line}:${p.Column}`}</code> ${p.Message}</li>`)}
        </ol>`}
        <${Letter} title=${id} subject=${answer.subject || id} to=${answer.file} content=${answer} />`}
    </div>
  </div>`;
}

export const Pdf = ({ src, title }) => html`<object type="application/pdf" data=${src} aria-label=${title}><p class="empty">This browser shows no PDF in a page. <a href=${src} target="_blank">Open it</a></p></object>`;

export function Mail({ path: [view, ...rest] }) {
  const open = view === 'templates' ? view : 'sent';
  const id = rest.join('/');
  return html`
    <h2 class="hidden">Mail</h2>
    <${Tabs} label="Mail" kind="small" open=${open} choose=${(to) => (location.hash = `/mail/${to}`)} all=${[['sent', 'Sent'], ['templates', 'Templates']]} />
    <div role="tabpanel" id="panel-${open}" aria-labelledby="tab-${open}">
      ${open === 'sent' ? html`<${Sent} id=${id} />` : html`<${Templates} id=${id} />`}
    </div>`;
}
