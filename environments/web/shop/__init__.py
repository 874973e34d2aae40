"""WebShop's task on a generated shop: as text, and as pages in a browser."""
