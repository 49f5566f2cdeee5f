"""One style, charts, diagrams, pictures of cells, and how a table or figure is displayed. Imports every layer below."""
