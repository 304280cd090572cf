// Runs in the browser: draws the OpenAPI document, ready to try each operation.

// Swagger UI reads an answer with JSON.parse, which rounds above 2^53: a balance shown wrong.
const exactIntegers = () => ({
  wrapComponents: {
    responseBody:
      (Original, { React, getComponent }) =>
      (props) => {
        if (!/\d{16}/.test(props.content)) return React.createElement(Original, props);
        const options = { language: 'json', canCopy: true, downloadable: true };
        return React.createElement(
          'div',
          null,
          React.createElement('h5', null, 'Response body'),
          React.createElement(
            getComponent('HighlightCode', true),
            { ...options, fileName: 'response.json' },
            indented(props.content),
          ),
        );
      },
  },
});

/** The same text with line breaks; as it is where the browser has no JSON.rawJSON. */
function indented(text) {
  if (!JSON.rawJSON) return text;
  const literal = (_key, value, { source }) =>
    typeof value === 'number' ? JSON.rawJSON(source) : value;
  return JSON.stringify(JSON.parse(text, literal), null, 2);
}

globalThis.SwaggerUIBundle({
  url: '/swagger/json',
  dom_id: '#docs',
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
  plugins: [exactIntegers],
});
