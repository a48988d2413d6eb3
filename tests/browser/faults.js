// What lies outside the window and in no box that scrolls; texts of a figure that are cut off or lie on each other.
() => {
  const faults = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest(".scroll, textarea, pre, svg, .skip, details:not([open]) > :not(summary), [hidden]")) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1)) faults.push(`${element.tagName} ${element.textContent.slice(0, 40)}`);
  }
  for (const drawing of document.querySelectorAll(".drawing svg")) {
    const frame = drawing.getBoundingClientRect(), title = drawing.closest("figure").querySelector("h3").textContent;
    const texts = [...drawing.querySelectorAll("text")].filter((t) => t.textContent && t.getAttribute("opacity") !== "0");
    const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width);
    boxes.forEach(([text, box], i) => {
      if (box.right > frame.right + 2 || box.left < frame.left - 2 || box.bottom > frame.bottom + 2 || box.top < frame.top - 2)
        faults.push(`${title}: ${text} is cut off`);
      for (const [other, next] of boxes.slice(i + 1)) {
        const x = Math.min(box.right, next.right) - Math.max(box.left, next.left);
        const y = Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top);
        if (x > 2 && y > 4) faults.push(`${title}: ${text} lies on ${other}`);
      }
    });
  }
  return faults;
}
