"""Bars in an SVG: what the plots of the manual are drawn with."""

OWN, OTHER = "#7c3aed", "#94a3b8"


def bars_svg(groups, left, width=760):
    """An SVG of one bar a line, in groups.

    groups: of (title, rows); a row is (label, length in pixels, text behind the bar, colour). left: where bars begin, in pixels.
    """
    height = 30 + sum(22 * len(rows) + 32 for _, rows in groups)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    y = 10
    for title, rows in groups:
        y += 24
        out.append(f'<text x="10" y="{y}" font-weight="bold">{title}</text>')
        y += 8
        for label, length, text, colour in rows:
            out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{label}</text>'
                       f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="14" fill="{colour}"/>'
                       f'<text x="{left + length + 6:.1f}" y="{y + 14}">{text}</text>')
            y += 22
    return "\n".join([*out, "</svg>"]) + "\n"
