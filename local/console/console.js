// The console's frame: its tabs, by the part of the address behind the #. See console.go for what it asks.
import { render } from '/lib/preact.js';
import { useEffect, useState } from '/lib/hooks.js';
import { connect, html, identity, Tabs, useStore } from './store.js';
import { Orders } from './orders.js';
import { Order } from './order.js';
import { Mail } from './mail.js';
import { Queues } from './queues.js';

const path = () => location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);

function Console() {
  const [[tab = '', ...rest], go] = useState(path);
  const store = useStore();
  useEffect(() => {
    const follow = () => {
      go(path());
      scrollTo(0, 0);
    };
    addEventListener('hashchange', follow);
    connect();
    return () => removeEventListener('hashchange', follow);
  }, []);
  const dead = store.queues.reduce((n, q) => n + q.dead, 0);
  const open = ['orders', 'mail', 'queues', 'api'].includes(tab) ? tab : 'orders';
  const choose = (id) => (location.hash = `/${id}`);
  useEffect(() => {
    document.title = `${{ orders: 'Orders', mail: 'Mail', queues: 'Queues', api: 'API' }[open]} · Order service`;
  }, [open]);
  return html`
    <a class="skip" href="#content" onClick=${(e) => { e.preventDefault(); document.getElementById('content').focus(); }}>Skip to the content</a>
    <header class="top">
      <h1>Order service</h1>
      <${Tabs} label="Console" open=${open} choose=${choose} all=${[['orders', 'Orders'], ['mail', 'Mail'], ['queues', 'Queues', dead], ['api', 'API']]} />
      ${store.faults.length > 0 && html`<a class="faults" href="#/queues">${store.faults.length === 1 ? '1 fault is on' : `${store.faults.length} faults are on`}</a>`}
      <span class="live ${store.live ? 'on' : ''}" role="status">${store.live ? 'live' : 'no connection'}</span>
    </header>
    <main id="content" tabindex="-1">
      <div role="tabpanel" id="panel-${open}" aria-labelledby="tab-${open}" class="panel-${open}">
        ${open === 'orders' && (rest[0] ? html`<${Order} id=${rest[0]} key=${rest[0]} />` : html`<${Orders} />`)}
        ${open === 'mail' && html`<${Mail} path=${rest} />`}
        ${open === 'queues' && html`<${Queues} />`}
        ${open === 'api' && html`<iframe title="The API" src="/api.html?${new URLSearchParams({ tenant: identity.tenant, ...(identity.admin && { admin: 'on' }) })}"></iframe>`}
      </div>
    </main>`;
}

render(html`<${Console} />`, document.body);
