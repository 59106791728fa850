// The contract, so that it can be tried: for the tenant that the address names.
const dark = matchMedia('(prefers-color-scheme: dark)');
const paint = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', paint);
paint();

// Errors are a line each until they are opened: an operation with all its examples would be 6 000 pixels tall.
const folded = ({ React: { createElement: h, useState } }) => ({
  wrapComponents: {
    response: (Response) => (props) => {
      const [open, setOpen] = useState(false);
      if (open || props.code.startsWith('2')) return h(Response, props);
      return h('tr', { className: 'response' },
        h('td', { className: 'response-col_status' }, h('button', { type: 'button', className: 'btn', onClick: () => setOpen(true) }, props.code)),
        h('td', { className: 'response-col_description' }, props.response.get('description').replaceAll('`', '')));
    },
  },
});

const ui = SwaggerUIBundle({
  url: '/openapi.yaml',
  domNode: document.getElementById('api'),
  plugins: [folded],
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  onComplete: async () => {
    const answer = await fetch('/console/token' + location.search);
    if (answer.ok) ui.preauthorizeApiKey('portal', 'Bearer ' + (await answer.json()));
  },
});
