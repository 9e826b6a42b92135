"""How the search-and-ask app looks. Colours come from the page's own theme, so that it reads in light and dark."""

# JupyterLab and Voila set the variables; where they are missing (VS Code, Colab) the values after the comma hold.
CSS = """
.ml-app {
  --ink: var(--jp-ui-font-color1, currentColor);
  --soft: var(--jp-ui-font-color2, #808080);
  --line: var(--jp-border-color2, #8884);
  --fill: var(--jp-layout-color2, #8882);
  --accent: var(--jp-brand-color1, #2f7fd3);
  color: var(--ink); max-width: 68rem; margin: 0 auto; padding: 12px; overflow: visible;
  font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 14px;
}
.ml-app .widget-html-content { line-height: 1.5; font-size: 14px; }
.ml-app .widget-text input { height: 36px; font-size: 15px; border-radius: 8px; padding: 0 12px; }
.ml-app .jupyter-button { height: 36px; line-height: 34px; border-radius: 8px; font-size: 14px; }
.ml-app .jupyter-button:focus-visible, .ml-app input:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.ml-head { justify-content: space-between; align-items: center; flex-flow: row wrap; gap: 4px 16px; }
.ml-head h1 { font-size: 22px; font-weight: 650; margin: 0; line-height: 1.3; color: var(--ink); }
.ml-head p { margin: 0; color: var(--soft); }
.ml-lang, .ml-lang .widget-toggle-buttons { overflow: visible; height: auto; }
.ml-lang .jupyter-button { height: 30px; line-height: 28px; padding: 0 12px; box-shadow: none; }
.ml-app .widget-upload[title] { font-size: 0; }  /* its own text ends in a count, "(0)": the title is shown instead */
.ml-app .widget-upload[title]::after { content: attr(title); font-size: 14px; }
.ml-app .widget-upload[title] i { font-size: 14px; margin-right: 6px; }
.ml-row { flex-flow: row wrap; gap: 8px; align-items: center; overflow: visible; }
.ml-row > .widget-text { flex: 1 1 14em; min-width: 10em; width: auto; }
.ml-row > .jupyter-button { width: auto; padding: 0 14px; }
.ml-row + .ml-hints, .ml-grid + .ml-row { margin-top: 8px; }
.ml-note { min-height: 22px; }
.ml-note .bad { color: #d9534f; }
.ml-note .busy { color: var(--soft); }
.ml-note .busy::before {
  content: ""; display: inline-block; width: 11px; height: 11px; margin-right: 8px; vertical-align: -1px;
  border: 2px solid var(--line); border-top-color: var(--accent); border-radius: 50%; animation: ml-turn .8s linear infinite;
}
@keyframes ml-turn { to { transform: rotate(1turn); } }
.ml-main { flex-flow: row wrap; gap: 20px; align-items: flex-start; overflow: visible; }
.ml-left { flex: 3 1 20rem; min-width: 0; overflow: visible; }
.ml-right { flex: 2 1 18rem; min-width: 0; padding: 14px; border: 1px solid var(--line); border-radius: 12px; }
.ml-grid {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 12px; padding: 4px; overflow: visible;
}
.ml-card { position: relative; overflow: visible; border-radius: 10px; min-width: 0; }
.ml-card img {
  width: 100%; aspect-ratio: 1; height: auto; object-fit: contain; border-radius: 10px; background: var(--fill);
  image-rendering: auto; margin: 0;
}
.ml-card > .widget-image, .ml-card > .widget-html { margin: 0; width: 100%; height: auto; }
.ml-card .widget-html-content { font-size: 12px; line-height: 1.35; padding: 3px 2px 0; min-width: 0; }
.ml-name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.ml-score { font-variant-numeric: tabular-nums; font-weight: 600; }
.ml-soft { color: var(--soft); }
.ml-card > .jupyter-button, .ml-card > .jupyter-button:hover, .ml-card > .jupyter-button:active {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; background: transparent; color: transparent;
  border-radius: 10px; box-shadow: none; overflow: hidden;
}
.ml-card > .jupyter-button:hover { box-shadow: 0 0 0 2px var(--line); }
.ml-card.ml-chosen > .jupyter-button { box-shadow: 0 0 0 3px var(--accent); }
.ml-big img { width: 100%; max-width: 18rem; height: auto; border-radius: 10px; background: var(--fill); margin: 0 auto; display: block; }
.ml-hints { flex-flow: row wrap; gap: 6px; }
.ml-hints .jupyter-button { width: auto; height: 28px; line-height: 26px; padding: 0 10px; font-size: 13px; border-radius: 14px; }
.ml-turn { padding: 8px 0; border-top: 1px solid var(--line); }
.ml-turn b { font-weight: 600; }
.ml-said { font-size: 16px; white-space: pre-wrap; overflow-wrap: anywhere; }
.ml-by { font-size: 12px; color: var(--soft); }
.ml-tally { display: grid; grid-template-columns: minmax(4em, auto) 1fr auto; gap: 4px 10px; align-items: center; max-width: 30rem; }
.ml-bar { height: 12px; border-radius: 4px; background: var(--accent); min-width: 3px; }
.ml-foot { border-top: 1px solid var(--line); padding-top: 10px; margin-top: 10px; }
@media (max-width: 40rem) {
  .ml-app { padding: 6px; }
  .ml-grid { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 8px; }
  .ml-right { padding: 10px; order: -1; }  /* what was clicked is seen at once, without scrolling past the gallery */
}
"""
