// Runs in the browser: draws the OpenAPI document, ready to try each operation.
globalThis.SwaggerUIBundle({
  url: '/swagger/json',
  dom_id: '#docs',
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
