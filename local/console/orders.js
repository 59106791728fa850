// The list of orders, and the form that places one.
import { useState } from '/lib/hooks.js';
import { amount, call, clock, Empty, html, identify, identity, more, Pill, Problem, search, standing, store, useAction, useStore, ask } from './store.js';

const placement = (cart) => ({
  customerEmail: 'thandi@example.com', customerName: 'Thandi Nkosi', cartId: `cart-${cart}-${Date.now().toString(36)}`,
  billingAddress: { fullName: 'Thandi Nkosi', street: '12 Long Street', city: 'Cape Town', province: 'Western Cape', postalCode: '8001', country: 'ZA' },
});

function Place() {
  const { carts, moments } = useStore();
  const [cart, setCart] = useState('good');
  const [moment, setMoment] = useState('');
  const { busy, error, run } = useAction();
  const submit = (event) => {
    event.preventDefault();
    run(async () => {
      if (moment) await ask('faults', { ...moments[moment], on: true });
      setMoment('');
      const { orderId } = await call('POST', 'orders', placement(cart));
      location.hash = `/orders/${orderId}`;
    });
  };
  return html`<form class="place card" onSubmit=${submit}>
    <label class="field">Cart
      <select value=${cart} onChange=${(e) => setCart(e.target.value)}>
        ${carts.map(({ name, what }) => html`<option value=${name} key=${name}>${name}: ${what}</option>`)}
      </select>
    </label>
    <label class="field">Crash
      <select value=${moment} onChange=${(e) => setMoment(e.target.value)}>
        <option value="">none</option>
        ${moments.map((m, i) => html`<option value=${i} key=${i}>${m.what}</option>`)}
      </select>
    </label>
    <label class="field tenant">Tenant
      <input value=${identity.tenant} onChange=${(e) => identify({ tenant: e.target.value })} required
        pattern="[A-Za-z0-9][A-Za-z0-9_.:\\-]{0,127}" autocomplete="off" spellcheck=${false} />
    </label>
    <label class="check"><input type="checkbox" checked=${identity.admin} onChange=${(e) => identify({ admin: e.target.checked })} /> administrator</label>
    <button class="primary" disabled=${busy}>Place order</button>
    ${error && html`<${Problem} text=${error} />`}
  </form>`;
}

export function Orders() {
  const { orders, more: isMore, total, live } = useStore();
  return html`
    <h2 class="hidden">Orders</h2>
    <${Place} />
    <section class="card list" aria-label="Orders">
      <header>
        <input type="search" placeholder="Number, id, tenant or status" aria-label="Search orders" value=${store.query} onInput=${(e) => search(e.target.value)} />
        <span class="dim">${total} ${total === 1 ? 'order' : 'orders'}</span>
      </header>
      ${orders.length > 0 && html`<div class="row head" aria-hidden="true"><span>Order</span><span>Status</span><span>Tenant</span><span class="number">Total</span><span class="number">Placed</span></div>`}
      <ul>
        ${orders.map((o) => html`<li key=${o.id}><a class="row" href="#/orders/${o.id}">
          <strong>${o.number || o.id.slice(0, 8)}</strong>
          <span class="status"><${Pill} text=${standing(o)} />${o.failure && html`<span class="bad cut">${o.failure}</span>`}</span>
          <span class="dim cut">${o.tenant}</span>
          <span class="number">${amount(o)}</span>
          <span class="number dim">${o.created && clock(o.created)}</span>
        </a></li>`)}
      </ul>
      ${live && !orders.length && html`<${Empty}>${store.query ? 'No order has this in its number, id, tenant or status.' : 'No orders yet.'}<//>`}
      ${isMore && html`<button type="button" class="more" onClick=${more}>Show more</button>`}
    </section>`;
}
