"""Reports for people: summaries, pages, the map of chunk states, previews and quicklooks.

Records and a store come in; numbers, SVG, PNG and Markdown go out.
"""
