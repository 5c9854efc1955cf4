// sharp, one decode per size, as its users write it: node sharp_render.cjs DIRECTORY COUNT
const fs = require("fs");
const path = require("path");
const sharp = require(path.join(__dirname, ".cache", "node_modules", "sharp"));

sharp.concurrency(1);
sharp.cache(false);

const [directory, count] = process.argv.slice(2);
const sizes = [[2048, 85], [1080, 82], [320, 80]];

function photos(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    return entry.isDirectory() ? photos(full) : [full];
  });
}

(async () => {
  let total = 0;
  for (const file of photos(directory).sort().slice(0, Number(count))) {
    const data = fs.readFileSync(file);
    for (const [edge, quality] of sizes) {
      const made = await sharp(data)
        .rotate()
        .resize(edge, edge, { fit: "inside", withoutEnlargement: true })
        .jpeg({ quality })
        .toBuffer();
      total += made.length;
    }
  }
  console.log(total);
})();
