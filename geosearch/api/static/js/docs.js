// The documentation of the HTTP API, drawn from the OpenAPI document of this very server.

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  validatorUrl: null, // the validator is on another machine
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  onComplete: () => { document.getElementById("docs").dataset.state = "drawn"; },
});
