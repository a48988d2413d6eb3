// The marks of each figure by kind, and the points of each model.
() => [...window.degenViews].map(([figure, entry]) => {
  const counts = {}, models = {};
  const visit = (item) => {
    if (item.marktype && item.role === "mark" && item.marktype !== "group") {
      for (const mark of item.items) {
        counts[item.marktype] = (counts[item.marktype] || 0) + 1;
        if (item.marktype === "symbol" && mark.datum) models[mark.datum.model] = (models[mark.datum.model] || 0) + 1;
      }
    }
    (item.items || []).forEach(visit);
  };
  visit(entry.view.scenegraph().root);
  return {title: figure.querySelector("h3").textContent, counts, models};
})
