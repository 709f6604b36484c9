// The words of fingerprints: the same list as src/cloister/identity/words.py (tests/web compares them).

export const WORDS = `
  acorn actor adult agent album alert alley amber anchor angle ankle apple apron arch arena arrow aspen atlas attic autumn award
  bacon badge baker balm bamboo banana banjo barley barn basil basket bath beach beacon bean beard beaver bell bench berry birch
  bird bishop blanket blossom boat bonus book boot bottle bowl branch bread breeze brick bridge broom brush bubble bucket button
  cabin cable cactus cake camel camera canal candle canoe canvas canyon cape carbon card cargo carpet carrot castle cattle cedar
  cello chair chalk cheese cherry chess chest child chimney circle citrus clay cliff cloak clock cloud clover coast coat cobalt
  cocoa coffee coin comet copper coral corn cotton couch cousin cradle crane crayon cream creek crown cube cup curtain cycle daisy
  dance dawn deer delta denim desert desk dial diary dinner dock dolphin donkey door dragon drawer dream dress drum duck dune eagle
  earth echo elbow ember engine envoy fabric falcon family farm feast feather fence fern ferry fiddle field fig film finch finger
  fire fish flag flame flask flint flock flood floor flour flower flute foam fog folder forest fork fossil fountain fox frame frost
  fruit galaxy garden garlic gate gecko ginger giraffe glacier glass globe glove goat gold goose grain granite grape grass gravel
  green guitar hammer hammock harbor harp harvest hat hawk hazel heart hedge helmet heron hill hinge honey hood horse hotel house
  igloo indigo ink iris iron island ivory ivy jacket jade jaguar jar jasmine jelly jewel judge juice jungle kayak kettle key kitchen
  kite kitten koala ladder lagoon lake lamp lantern larch laser lawn leaf lemon lens letter lichen lilac lily lime linen lion lizard
  llama lobster locket lodge lotus lunar lynx magnet mango maple marble market marsh mast meadow medal melon metal mill mint mirror
  mitten moon moose mosaic moss motor mountain mouse mural museum music mustard napkin nectar needle nest nickel night noodle north
  novel nut nutmeg oak oasis oat ocean olive onion opal opera orange orbit orchid organ otter oven owl oxygen paddle page paint
  palace palm panda panel paper parade parcel park parrot pasta path patio peach peanut pear pearl pebble pelican pencil pepper
  petal piano pickle picnic pigeon pillow pilot pine pipe pirate planet plate plaza plum pocket poem polar pond pony poplar poppy
  porch portal potato prairie prism pulse pumpkin puppet puzzle pyramid quail quartz queen quiet quill quilt rabbit radar radio rain
  raven reef ribbon rice ridge ring river robin robot rocket roof root rope rose ruby rudder saddle sage sail salad salmon salt sand
  sandal satin sauce scarf school season seed shadow sheep shelf shell ship shirt shore silk silver singer sister sketch sky sled
  sleeve slope snail snow soap sofa soil solar soup spark sparrow sphere spice spider spiral spoon spring spruce square squid stable
  stage stamp star statue steam steel stone stool storm stove straw stream street string studio sugar summer sun sunset swan sweater
  swing table tablet tailor tango tea teapot temple tennis tent theater thistle thread thumb thunder ticket tiger timber toast
  tomato torch tortoise towel tower trail train tree tulip tundra tunnel turtle tuxedo valley vanilla vault velvet violet violin
  vine visitor voyage waffle wagon walnut walrus water wave wax weaver west whale wheat wheel whisper willow wind window winter wolf
  wood wool yacht yarn yellow yogurt zebra zenith zephyr zinc
`
  .trim()
  .split(/\s+/);
