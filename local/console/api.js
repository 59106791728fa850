// The contract, so that it can be tried: for the tenant that the address names.
const dark = matchMedia('(prefers-color-scheme: dark)');
const paint = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', paint);
paint();

const ui = SwaggerUIBundle({
  url: '/openapi.yaml',
  domNode: document.getElementById('api'),
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  onComplete: async () => {
    const answer = await fetch('/console/token' + location.search);
    if (answer.ok) ui.preauthorizeApiKey('portal', 'Bearer ' + (await answer.json()));
    document.documentElement.classList.add('ready');
  },
});
