// Takes orders through their lives with the types that openapi-typescript makes of roles/openapi.yaml: node client.js URL TOKEN
// TENANT. It prints a line for each order, and stops at the first thing that is wrong.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

type Order = components['schemas']['Order'];
type OrderUpdate = components['schemas']['OrderUpdate'];

const [url = '', token = '', tenantId = ''] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const path = '/v1.0/orders/{orderId}';

// What the Cart API has, in cents.
type Line = { quantity: number; unitPrice: number; discount: number };
const carts: { id: string; lines: Line[]; shipping: number }[] = [
  {
    id: 'cart-shipping',
    lines: [
      { quantity: 2, unitPrice: 150_00, discount: 50_00 },
      { quantity: 1, unitPrice: 120_00, discount: 0 },
      { quantity: 3, unitPrice: 49_99, discount: 0 },
    ],
    shipping: 99_50,
  },
  { id: 'cart-precise', lines: [{ quantity: 1, unitPrice: 131072_01, discount: 0 }], shipping: 0 },
];
const cents = (amount: number): number => Math.round(amount * 100);

for (const { id: cartId, lines, shipping } of carts) {
  const order = await recorded(await place(cartId));
  const subtotals = lines.map((l) => l.quantity * l.unitPrice - l.discount);
  const subtotal = subtotals.reduce((sum, s) => sum + s);
  const tax = Math.floor((15 * (subtotal + shipping) + 50) / 100);
  const total = subtotal + shipping + tax;
  assert.deepEqual(
    order.items.map((i): Line => ({ quantity: i.quantity, unitPrice: cents(i.unitPrice), discount: cents(i.discount) })),
    lines,
  );
  assert.deepEqual(order.items.map((i) => cents(i.subtotal)), subtotals);
  assert.deepEqual([order.subtotal, order.shipping, order.tax, order.total].map(cents), [subtotal, shipping, tax, total]);
  assert.equal(order.taxRate, 0.15);
  await live(order.id);
  await find(order, total);
  console.log(`${cartId}: ${order.orderNumber} refunded, ${(total / 100).toFixed(2)}`);
}
await failed();
await refused();

async function place(cartId: string): Promise<string> {
  const { data, error, response } = await client.POST('/v1.0/orders', {
    body: {
      customerEmail: 'thandi@example.com',
      cartId,
      billingAddress: { street: '12 Long Street', city: 'Cape Town', province: 'Western Cape', postalCode: '8001', country: 'ZA' },
    },
  });
  if (!data) throw new Error(`POST: ${JSON.stringify(error)}`);
  assert.equal(response.headers.get('Location'), `/v1.0/orders/${data.data.orderId}`);
  return data.data.orderId;
}

async function read(orderId: string) {
  const { data, error, response } = await client.GET(path, { params: { path: { orderId } } });
  if (!data) throw new Error(`GET: ${JSON.stringify(error)}`);
  return { order: data.data, etag: response.headers.get('ETag') ?? '' };
}

// Waits until the order is no longer only accepted.
async function settled(orderId: string) {
  for (;;) {
    const { order } = await read(orderId);
    if (order.state !== 'accepted') return order;
    await pause(100);
  }
}

async function recorded(orderId: string): Promise<Order> {
  const order = await settled(orderId);
  if (order.state !== 'recorded') throw new Error(order.failureReason);
  return order;
}

// Pays, processes, completes and refunds an order, and reads what is left of that: its history and its documents.
async function live(orderId: string) {
  const first = (await read(orderId)).etag;
  const paid: OrderUpdate = { status: 'paid', paymentDetails: { transactionId: 'tx-1' } };
  let etag = await change(orderId, first, paid);
  etag = await change(orderId, etag, { status: 'processing' });
  etag = await change(orderId, etag, { status: 'completed' });
  await change(orderId, etag, { status: 'refunded', reason: 'It came back' });
  const stale = await client.PUT(path, { params: { path: { orderId }, header: { 'If-Match': first } }, body: paid });
  assert.equal(stale.error?.code, 'precondition_failed');

  let order = await recorded(orderId);
  while (order.documents.length < 3) {
    await pause(100);
    order = await recorded(orderId);
  }
  assert.deepEqual(order.documents.map((d) => d.kind), ['pro_forma', 'tax_invoice', 'credit_note']);
  assert.deepEqual(order.documents.map((d) => d.number !== undefined), [false, true, true]);
  for (const { url } of order.documents) {
    assert.match(await (await fetch(url)).text(), /^%PDF-/);
  }
  assert.deepEqual(order.history.map((e) => e.sequence), [1, 2, 3, 4, 5]);
  assert.deepEqual(
    order.history.map((e) => e.type),
    ['order.created', 'order.paid', 'order.processing', 'order.completed', 'order.refunded'],
  );
  assert.equal(order.history[1]?.paymentDetails?.transactionId, 'tx-1');
  assert.equal(order.history[4]?.reason, 'It came back');
}

async function change(orderId: string, etag: string, body: OrderUpdate): Promise<string> {
  const { data, error, response } = await client.PUT(path, { params: { path: { orderId }, header: { 'If-Match': etag } }, body });
  if (!data) throw new Error(`PUT: ${JSON.stringify(error)}`);
  assert.equal(data.data.status, body.status);
  return response.headers.get('ETag') ?? '';
}

async function find(order: Order, total: number) {
  const { data, error } = await client.GET('/v1.0/tenants/{tenantId}/orders', {
    params: { path: { tenantId }, query: { orderNumber: order.orderNumber } },
  });
  if (!data) throw new Error(`list: ${JSON.stringify(error)}`);
  const { orders, pagination } = data.data;
  assert.deepEqual(orders.map((o) => [o.id, o.status, cents(o.total)]), [[order.id, 'refunded', total]]);
  assert.equal(pagination.nextToken, null);
}

async function failed() {
  const order = await settled(await place('cart-missing'));
  if (order.state !== 'failed') throw new Error(`a missing cart: ${order.state}`);
  assert.ok(order.failureReason);
  console.log(`cart-missing: ${order.orderNumber} failed: ${order.failureReason}`);
}

async function refused() {
  const nothing = {} as components['schemas']['OrderRequest'];
  const { error } = await client.POST('/v1.0/orders', { body: nothing });
  assert.equal(error?.code, 'invalid_request');
  assert.ok(error.details?.length);
  for (const { field, message } of error.details) console.log(`refused: ${field} ${message}`);
}
